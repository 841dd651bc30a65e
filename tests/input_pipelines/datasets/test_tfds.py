"""`tfds:NAME`: data sets that TensorFlow Datasets wrote to the disk, and those it cannot get."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import ConfigError, DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import tfds

CLASSES = ("circle", "square", "star")


def make_examples(count: int, size=(6, 5, 3), seed: int = 0) -> list[dict]:
    generator = np.random.default_rng(seed)
    return [
        {"image": generator.integers(0, 256, size, np.uint8), "label": number % len(CLASSES)}
        for number in range(count)
    ]


@pytest.fixture
def store(tf, tmp_path):
    """Returns a function that writes a data set as TensorFlow Datasets does; gives its folder."""
    import tensorflow_datasets

    features = tensorflow_datasets.features

    def write(splits: dict[str, list[dict]], image=None, label=None, name="shapes") -> Path:
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.2.0",
            data_dir=tmp_path / "tfds",
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(6, 5, 3)) if image is None else image,
                    "label": features.ClassLabel(names=CLASSES) if label is None else label,
                }
            ),
            split_datasets={split: list(enumerate(rows)) for split, rows in splits.items()},
        )
        return tmp_path / "tfds"

    return write


@pytest.fixture
def features(tf):
    import tensorflow_datasets

    return tensorflow_datasets.features


def load(folder: Path | None, name: str = "shapes", image_shape=(0, 0, 0)):
    return tfds.load(LoadOptions(data_dir=folder, argument=name, image_shape=image_shape))


def rows_of(images: np.ndarray, labels: np.ndarray) -> list[tuple]:
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels))


def check_holds(source, examples: list[dict]) -> None:
    """The source has these examples, in whatever order."""
    expected = rows_of([e["image"] for e in examples], [e["label"] for e in examples])
    assert rows_of(source.images, source.labels) == expected
    assert source.class_names == CLASSES
    assert source.images.dtype == np.uint8
    assert source.labels.dtype == np.int32


@pytest.mark.parametrize("name", ["shapes", "shapes:1.2.0"])
def test_all_splits(store, name):
    splits = {
        "train": make_examples(20, seed=1),
        "validation": make_examples(7, seed=2),
        "test": make_examples(9, seed=3),
    }
    sources = load(store(splits), name)
    assert sources.keys() == splits.keys()
    for split, source in sources.items():
        check_holds(source, splits[split])


def test_without_a_test_split_a_fifth_is_kept(store):
    examples = make_examples(30)
    sources = load(store({"train": examples}))
    assert {split: len(source) for split, source in sources.items()} == {"train": 24, "test": 6}
    together = np.concatenate([source.images for source in sources.values()])
    labels = np.concatenate([source.labels for source in sources.values()])
    assert rows_of(together, labels) == rows_of(
        [e["image"] for e in examples], [e["label"] for e in examples]
    )


def test_the_order_is_always_the_same(store):
    folder = store({"train": make_examples(50), "test": make_examples(5)})
    first, again = load(folder)["train"], load(folder)["train"]
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_images_are_brought_to_the_size_asked_for(store, tf):
    examples = make_examples(12)
    source = load(store({"train": examples, "test": examples[:3]}), image_shape=(9, 9, 0))["train"]
    images = np.stack([e["image"] for e in examples])
    expected = np.rint(tf.image.resize(images, (9, 9))).astype(np.uint8)
    labels = [e["label"] for e in examples]
    assert rows_of(source.images, source.labels) == rows_of(expected, labels)


def test_images_of_differing_sizes(store, features, tf):
    examples = [make_examples(1, size=(4 + n, 9 - n, 3), seed=n)[0] for n in range(6)]
    folder = store({"train": examples, "test": examples}, features.Image(shape=(None, None, 3)))
    with pytest.raises(ConfigError) as caught:
        load(folder)
    assert str(caught.value) == (
        "--dataset=tfds:shapes: its images differ in size; give --image_size=N."
    )
    source = load(folder, image_shape=(5, 5, 0))["train"]
    expected = [np.rint(tf.image.resize(e["image"], (5, 5))).astype(np.uint8) for e in examples]
    assert rows_of(source.images, source.labels) == rows_of(expected, source.labels)


def test_a_label_that_is_no_class(store, features):
    examples = make_examples(6)
    folder = store({"train": examples, "test": examples}, label=features.Scalar(np.int64))
    with pytest.raises(ConfigError) as caught:
        load(folder)
    assert str(caught.value) == (
        "--dataset=tfds:shapes: has no `image` with a class `label`; "
        "it is no image-classification set."
    )


def test_no_train_split(store):
    folder = store({"first": make_examples(6), "second": make_examples(6)})
    with pytest.raises(DataError) as caught:
        load(folder)
    assert str(caught.value) == "tfds:shapes has no train split: ['first', 'second']."


@pytest.mark.parametrize("name", ["val", "valid", "dev", "eval"])
def test_splits_have_their_usual_names(store, name):
    splits = {"training": make_examples(20, seed=1), name: make_examples(7, seed=2),
              "holdout": make_examples(9, seed=3), "unlabelled": make_examples(2)}  # fmt: skip
    sources = load(store(splits))
    for split, stored in {"train": "training", "validation": name, "test": "holdout"}.items():
        check_holds(sources[split], splits[stored])
    assert len(sources) == 3


def test_two_names_of_one_split(store):
    rows = make_examples(6)
    folder = store({"train": rows, "val": rows, "dev": rows})
    with pytest.raises(DataError, match="which of val, dev is the validation split cannot be"):
        load(folder)
    folder = store({"train": rows[:2], "training": rows, "test": rows}, name="other")
    assert len(load(folder, "other")["train"]) == 2


@pytest.mark.parametrize("size", [0, 4])
def test_of_16_bits_the_high_byte_counts(store, features, tf, size):
    shape = (6, 5, 1)
    deep = [
        {"image": (e["image"].astype(np.uint16) << 8) + 200, "label": e["label"]}
        for e in make_examples(6, size=shape)
    ]
    image = features.Image(shape=shape, dtype=np.uint16, encoding_format="png")
    source = load(store({"train": deep, "test": deep}, image), image_shape=(size, size, 0))["train"]
    high = np.stack([e["image"] for e in make_examples(6, size=shape)])
    if size:
        high = np.rint(tf.image.resize(high, (size, size))).astype(np.uint8)
    assert rows_of(source.images, source.labels) == rows_of(high, [e["label"] for e in deep])


def test_what_is_transparent_is_white(store, features):
    pixels = np.array([[[200, 100, 50, 255], [10, 20, 30, 0], [200, 100, 50, 128]]], np.uint8)
    examples = [{"image": pixels, "label": number} for number in range(3)]
    source = load(store({"train": examples, "test": examples}, features.Image(shape=(1, 3, 4))))
    wanted = [[[200, 100, 50], [255, 255, 255], [227, 177, 152]]]
    assert source["train"].images[0].tolist() == wanted


def test_images_of_floats_are_refused(store, features):
    examples = [{"image": np.ones((6, 5, 1), np.float32), "label": n % 3} for n in range(6)]
    folder = store({"train": examples}, features.Image(shape=(6, 5, 1), dtype=np.float32))
    with pytest.raises(ConfigError, match="floating-point numbers of a scale that it does not"):
        load(folder)


def test_features_of_other_names_that_are_meant_for_supervised_learning(tf, features, tmp_path):
    import tensorflow_datasets

    examples = make_examples(10)

    class Pictures(tensorflow_datasets.core.GeneratorBasedBuilder):
        VERSION = tensorflow_datasets.core.Version("1.0.0")

        def _info(self):
            named = {"picture": features.Image(shape=(6, 5, 3)),
                     "kind": features.ClassLabel(names=CLASSES),
                     "other": features.ClassLabel(num_classes=2)}  # fmt: skip
            return self.dataset_info_from_configs(
                features=features.FeaturesDict(named), supervised_keys=("picture", "kind")
            )

        def _split_generators(self, download_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, example in enumerate(examples):
                row = {"picture": example["image"], "kind": example["label"], "other": 0}
                yield number, row

    Pictures(data_dir=tmp_path).download_and_prepare()
    sources = load(tmp_path, "pictures")
    assert {split: len(source) for split, source in sources.items()} == {"train": 8, "test": 2}
    images = np.concatenate([source.images for source in sources.values()])
    labels = np.concatenate([source.labels for source in sources.values()])
    assert rows_of(images, labels) == rows_of(
        [e["image"] for e in examples], [e["label"] for e in examples]
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar1000", " Did you mean 'cifar100'?"),
        ("fashion_mnits", " Did you mean 'fashion_mnist'?"),
        ("zzzzzz", ""),
    ],
)
def test_a_name_that_is_unknown(tf, tmp_path, name, hint):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, name)
    assert str(caught.value) == (
        f"--dataset=tfds:{name}: TensorFlow Datasets has no such set.{hint}"
    )


def test_without_a_network(tf, tmp_path, offline):
    with pytest.raises(DataError) as caught:
        load(tmp_path, "cifar100")
    assert re.fullmatch(
        f"tfds:cifar100 is not in {tmp_path}/cifar100/[0-9.]+ and could not be downloaded "
        r"\(ConnectionError: www\.cs\.toronto\.edu: Network is unreachable\)\. Prepare it where "
        "there is a network and give --data_dir; digits and synthetic need no download\\.",
        str(caught.value),
    )


def test_where_the_network_is_not_to_be_used(tf, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWRATE_OFFLINE", "1")
    with pytest.raises(DataError, match=r"\(ConnectionError: FLOWRATE_OFFLINE is set\)"):
        load(tmp_path, "cifar100")
