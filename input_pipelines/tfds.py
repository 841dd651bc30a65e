"""`tfds:NAME`: any image-classification data set of TensorFlow Datasets."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import ConfigError, DataError, nearest_name
from input_pipelines._dataset import DatasetInfo, LoadOptions
from input_pipelines._download import (
    OFFLINE,
    OFFLINE_DATASETS,
    existing_folder,
    is_offline,
    unreachable,
)
from input_pipelines._source import ArraySource

# A data set may lie on several hosts, of which some are gone.
_MAX_HOSTS_TRIED = 3

INFO = DatasetInfo(
    title="TensorFlow Datasets",
    homepage="https://www.tensorflow.org/datasets",
    licence="see the data set's own page",
    image_shape=(0, 0, 0),
    default_model="resnet18",
    augmentation="crop,flip",
)


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train, test and, where there is one, validation; without test, 80/20.

    Images of differing sizes are brought to `--image_size`.

    Raises:
        ConfigError: no such data set, or it has no image and label, or sizes differ and no
            `--image_size` is given.
        DataError: it is not here and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    # Without --data_dir: where TensorFlow Datasets itself keeps what it has prepared.
    folder = options.data_dir and existing_folder(options.data_dir, "tfds")
    builder = _build(tfds, options.argument, folder)
    features = builder.info.features
    if not _is_image_classification(tfds, features):
        raise ConfigError(
            f"--dataset=tfds:{options.argument}: has no `image` with a class `label`; "
            "it is no image-classification set."
        )
    _prepare(builder, options.argument)
    splits = {name: name for name in ("train", "validation", "test") if name in builder.info.splits}
    if "train" not in splits:
        raise DataError(f"tfds:{options.argument} has no train split: {list(builder.info.splits)}.")
    if "test" not in splits:
        splits |= {"train": "train[:80%]", "test": "train[80%:]"}
    classes = tuple(features["label"].names)
    return {
        split: _read(builder, spec, classes, options, features["image"].shape)
        for split, spec in splits.items()
    }


def _build(tfds: Any, name: str, folder: Path | None) -> Any:
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError:
        known = nearest_name(name, tfds.list_builders())
        raise ConfigError(
            f"--dataset=tfds:{name}: TensorFlow Datasets has no such set.{known}"
        ) from None
    except (ValueError, AssertionError) as error:
        raise ConfigError(f"--dataset=tfds:{name}: {_first_line(error)}") from None


def _is_image_classification(tfds: Any, features: Any) -> bool:
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    is_image = isinstance(found.get("image"), tfds.features.Image)
    return is_image and isinstance(found.get("label"), tfds.features.ClassLabel)


def _prepare(builder: Any, name: str) -> None:
    try:
        if not builder.data_path.exists():
            _check_connection(builder.url_infos)
        builder.download_and_prepare()
    except Exception as error:  # Any of dozens: network, disk, a site that moved.
        raise DataError(
            f"tfds:{name} is not in {builder.data_path} and could not be downloaded "
            f"({type(error).__name__}: {_first_line(error)}). Prepare it where there is a network "
            f"and give --data_dir; {OFFLINE_DATASETS}."
        ) from error


def _check_connection(urls: Iterable[str]) -> None:
    """Raises ConnectionError if no host answers: left alone, TFDS tries for minutes."""
    if is_offline():
        raise ConnectionError(f"{OFFLINE} is set")
    url_of_host = {urllib.parse.urlsplit(url).hostname: url for url in urls}
    reasons = [unreachable(url) for url in list(url_of_host.values())[:_MAX_HOSTS_TRIED]]
    if reasons and all(reasons):
        raise ConnectionError(f"{', '.join(url_of_host)}: {reasons[0]}")


def _read(
    builder: Any,
    split: str,
    classes: tuple[str, ...],
    options: LoadOptions,
    native_shape: tuple[int | None, ...],
) -> ArraySource:
    import tensorflow as tf

    height, width, _ = options.image_shape
    size = (height, width) if height else native_shape[:2]
    if None in size:
        raise ConfigError(
            f"--dataset=tfds:{options.argument}: its images differ in size; give --image_size=N."
        )

    def resize(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.image.resize(example["image"], size)
        return tf.saturate_cast(tf.round(image), tf.uint8), example["label"]

    # shuffle_files stays off and reads are ordered: an example's index is always the same.
    dataset = builder.as_dataset(split=split)
    if size != native_shape[:2]:
        dataset = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        dataset = dataset.map(lambda example: (example["image"], example["label"]))
    images, labels = zip(*dataset.as_numpy_iterator())
    return ArraySource(np.stack(images), np.array(labels, np.int32), classes)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
