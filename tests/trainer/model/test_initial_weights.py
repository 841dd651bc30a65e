"""--weights: what is taken over from files, runs and keras.applications, and what is refused."""

from __future__ import annotations

import zipfile

import h5py
import keras
import numpy as np
import pytest

from flowrate.errors import ConfigError, RunDirError
from trainer.model.weights import Start, describe

CLASSES = tuple("abcde")


@pytest.fixture(scope="module")
def parts(tf):
    """Imported after TensorFlow's devices are split."""
    from trainer.model import initial_weights, model

    return model, initial_weights


@pytest.fixture
def make(parts):
    """Returns a function: classes -> a small model with random weights of a seed."""

    def build_model(num_classes: int = 5, seed: int = 0, name: str = "cnn") -> keras.Model:
        keras.utils.set_random_seed(seed)
        return parts[0].build_model(name, num_classes, (12, 12, 1))

    return build_model


@pytest.fixture
def take_over(parts):
    def take(model, path):
        return parts[1].take_over(model, Start(str(path), "cnn", None), CLASSES)

    return take


def save(model: keras.Model, path) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{f"{i}": weight for i, weight in enumerate(model.get_weights())})
    elif path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "mlp16"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".npz"])
def test_files_are_taken_over_whole(make, take_over, tmp_path, suffix, name):
    saved, model = make(seed=1, name=name), make(seed=2, name=name)
    save(saved, tmp_path / f"x{suffix}")
    record = take_over(model, tmp_path / f"x{suffix}")
    assert record["tensors"] == record["of"] == len(model.weights)
    assert record["new"] == ""
    for value, expected in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".npz"])
def test_other_classes_get_a_new_head(make, take_over, tmp_path, suffix):
    saved, model = make(num_classes=9, seed=1), make(seed=2)
    before = model.get_weights()
    save(saved, tmp_path / f"x{suffix}")
    record = take_over(model, tmp_path / f"x{suffix}")
    assert describe(record) == f"8 of 10 tensors from {tmp_path}/x{suffix}; new: logits"
    np.testing.assert_array_equal(model.get_weights()[-1], before[-1])
    np.testing.assert_array_equal(model.get_weights()[0], saved.get_weights()[0])


@pytest.mark.parametrize("suffix", [".weights.h5", ".npz"])
def test_another_model_is_refused_with_three_differences(make, take_over, tmp_path, suffix):
    save(make(name="cnn5x5"), tmp_path / f"x{suffix}")
    with pytest.raises(ConfigError, match=r"does not fit --model=cnn: .*;.*;.*; and . more"):
        take_over(make(), tmp_path / f"x{suffix}")


def linked(path, tmp_path) -> None:
    """The first weight lies in another file: reading it would read what the user did not name."""
    with h5py.File(path, "a") as archive:
        del archive["layers/conv2d/vars/0"]
        archive["layers/conv2d/vars/0"] = h5py.ExternalLink(str(tmp_path / "y.h5"), "/x")


def huge(path, tmp_path) -> None:
    """A dataset of a terabyte that takes no room in the file."""
    with h5py.File(path, "a") as archive:
        del archive["layers/conv2d/vars/0"]
        archive.create_dataset("layers/conv2d/vars/0", (2**38,), "f4", chunks=(2**20,))


def outside(path, tmp_path) -> None:
    with h5py.File(path, "a") as archive:
        values = archive["layers/conv2d/vars/0"]
        shape, dtype = values.shape, values.dtype
        del archive["layers/conv2d/vars/0"]
        (tmp_path / "raw").write_bytes(b"\\0" * 4 * 288)
        archive.create_dataset(
            "layers/conv2d/vars/0", shape, dtype, external=[(str(tmp_path / "raw"), 0, 4 * 288)]
        )


def text(path, tmp_path) -> None:
    path.write_text("no weights")


@pytest.mark.parametrize(
    ("harm", "message"),
    [(linked, "is a link"), (huge, "does not fit"), (outside, "plain numbers"),
     (text, "cannot be read")],
)  # fmt: skip
def test_hostile_files_are_refused(make, take_over, tmp_path, harm, message):
    path = tmp_path / "x.weights.h5"
    save(make(), path)
    harm(path, tmp_path)
    with pytest.raises(ConfigError, match=message):
        take_over(make(), path)


def test_a_keras_file_gives_its_weights_and_nothing_else(make, take_over, tmp_path):
    """Its description of layers is never read: here it is none."""
    save(make(seed=1), tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as archive:
        archive.writestr("config.json", '{"module": "os", "class_name": "system"}')
        archive.writestr("model.weights.h5", weights)
    assert take_over(make(), tmp_path / "y.keras")["new"] == ""


def test_the_weights_of_a_run(train, parts, tmp_path):
    """The head is taken over for the same classes, and new for others."""
    from trainer.trained.run import TrainedRun

    run = train(model="mlp16", steps=3)
    trained = TrainedRun.open(run.run_dir.path)
    start = Start(str(trained.path), "mlp16", 8, trained)
    for classes, new in ((trained.class_names, ""), (tuple("abcdefghij"), "logits")):
        model = parts[0].build_model("mlp16", 10, (8, 8, 1))
        assert parts[1].take_over(model, start, classes)["new"] == new
    for value, expected in zip(model.get_weights()[:-2], run.state.model.get_weights()):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("nowhere", ConfigError, "there is no such file or folder"),
        (__file__, ConfigError, r"weights are read from \.weights\.h5"),
        (".", RunDirError, "holds no run"),
        ("imagenet", ConfigError, "there are none for --model=mlp; use --model=efficientnet_lite0"),
    ],
)
def test_weights_that_cannot_be_had(weights, error, message, tmp_path, monkeypatch):
    from input_pipelines.datasets import digits
    from trainer.config import TrainConfig
    from trainer.data import resolve

    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        resolve(TrainConfig(weights=weights, model="mlp"), digits.INFO)


@pytest.mark.parametrize(
    ("flags", "model", "side"),
    [
        ({}, "efficientnet_lite0", 224),
        ({"model": "keras:MobileNetV2"}, "keras:MobileNetV2:imagenet", 224),
        ({"model": "keras:EfficientNetB3"}, "keras:EfficientNetB3:imagenet", 300),
    ],
)
def test_imagenet_chooses_the_model_and_its_size(flags, model, side):
    from input_pipelines.datasets import image_folder
    from trainer.config import TrainConfig
    from trainer.data import resolve

    start = resolve(TrainConfig(weights="imagenet", **flags), image_folder.INFO)
    assert (start.model, start.image_side) == (model, side)


def test_a_file_that_cannot_be_fetched_is_named(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWRATE_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = parts[0].build_model("keras:MobileNetV2:imagenet", 5, (32, 32, 3))
    start = Start("imagenet", "keras:MobileNetV2:imagenet", 32)
    with pytest.raises(ConfigError) as caught:
        parts[1].take_over(model, start, CLASSES)
    for part in ("mobilenet_v2", "MB from storage.googleapis.com", str(tmp_path / "models")):
        assert part in str(caught.value)


def test_a_file_that_keras_has_fetched_is_used(parts, monkeypatch, tmp_path):
    """A file such as keras.applications publishes, where Keras keeps it."""
    from keras.src.legacy.saving import legacy_h5_format

    monkeypatch.setenv("FLOWRATE_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    published = keras.applications.MobileNetV2(weights=None, include_top=False)
    (tmp_path / "models").mkdir()
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
    with h5py.File(tmp_path / "models" / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, published)
    model = parts[0].build_model("keras:MobileNetV2:imagenet", 5, (96, 96, 1))
    start = Start("imagenet", "keras:MobileNetV2:imagenet", 224)
    record = parts[1].take_over(model, start, CLASSES)
    assert (record["tensors"], record["of"], record["new"]) == (260, 262, "logits")
    for value, expected in zip(model.get_weights(), published.get_weights()):
        np.testing.assert_array_equal(value, expected)


def test_a_damaged_file_of_keras_is_named(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    path.write_bytes(b"cut short")
    model = parts[0].build_model("keras:MobileNetV3Small:imagenet", 5, (32, 32, 3))
    start = Start("imagenet", "keras:MobileNetV3Small:imagenet", 224)
    with pytest.raises(ConfigError, match=r"is damaged: its hash is not the published"):
        parts[1].take_over(model, start, CLASSES)
