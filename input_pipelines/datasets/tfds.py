"""`tfds:NAME`: any image-classification data set of TensorFlow Datasets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import ConfigError, DataError, nearest_name
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.fetch.download import (
    OFFLINE,
    OFFLINE_DATASETS,
    existing_folder,
    host_of,
    is_offline,
    unreachable,
)
from input_pipelines.folders.split_folders import split_of
from input_pipelines.source import ArraySource

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

    Images of differing sizes are brought to `--image_size`. Of 16 bits the high byte counts; what
    is transparent is laid on white.

    Raises:
        ConfigError: no such data set, or it has no image and label, or images of floats, or sizes
            differ and no `--image_size` is given.
        DataError: it is not here and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    # Without --data_dir: where TensorFlow Datasets itself keeps what it has prepared.
    folder = options.data_dir and existing_folder(options.data_dir, "tfds")
    builder = _build(tfds, options.argument, folder)
    features = builder.info.features
    keys = _image_and_label(tfds, builder.info)
    if keys is None:
        raise ConfigError(
            f"--dataset=tfds:{options.argument}: has no `image` with a class `label`; "
            "it is no image-classification set."
        )
    if not np.issubdtype(features[keys[0]].np_dtype, np.integer):
        raise ConfigError(
            f"--dataset=tfds:{options.argument}: its images are floating-point numbers of a scale "
            "that it does not tell; take a set of 8 or 16 bits."
        )
    _prepare(builder, options.argument)
    splits = _usual_splits(list(builder.info.splits), options.argument)
    if "test" not in splits:
        train = splits["train"]
        splits |= {"train": f"{train}[:80%]", "test": f"{train}[80%:]"}
    return {split: _read(builder, spec, keys, options) for split, spec in splits.items()}


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


def _image_and_label(tfds: Any, info: Any) -> tuple[str, str] | None:
    """Returns the names of both features: the usual ones, or those for supervised learning."""
    is_dict = isinstance(info.features, tfds.features.FeaturesDict)
    found = dict(info.features.items()) if is_dict else {}
    for keys in (("image", "label"), info.supervised_keys):
        if isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys):
            image, label = map(found.get, keys)
            is_label = isinstance(label, tfds.features.ClassLabel)
            if isinstance(image, tfds.features.Image) and is_label:
                return keys
    return None


def _usual_splits(names: list[str], dataset: str) -> dict[str, str]:
    """Returns {train, validation, test: the set's own name}, as far as it has them."""
    splits = {}
    for split in ("train", "validation", "test"):
        found = [name for name in names if split_of(name) == split]
        if split in found or len(found) == 1:
            splits[split] = split if split in found else found[0]
        elif found:
            raise DataError(
                f"tfds:{dataset}: which of {', '.join(found)} is the {split} split cannot be told."
            )
    if "train" not in splits:
        raise DataError(f"tfds:{dataset} has no train split: {names}.")
    return splits


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
    url_of_host = {host_of(url): url for url in urls}
    reasons = [unreachable(url) for url in list(url_of_host.values())[:_MAX_HOSTS_TRIED]]
    if reasons and all(reasons):
        raise ConnectionError(f"{', '.join(url_of_host)}: {reasons[0]}")


def _read(builder: Any, split: str, keys: tuple[str, str], options: LoadOptions) -> ArraySource:
    import tensorflow as tf

    from input_pipelines.images.opaque import lay_on_white

    image_key, label_key = keys
    native_shape = builder.info.features[image_key].shape
    height, width, _ = options.image_shape
    size = (height, width) if height else native_shape[:2]
    if None in size:
        raise ConfigError(
            f"--dataset=tfds:{options.argument}: its images differ in size; give --image_size=N."
        )

    def read(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[image_key]
        if image.dtype == tf.uint16:
            image = tf.cast(tf.bitwise.right_shift(image, 8), tf.uint8)
        if native_shape[2] == 4:
            image = lay_on_white(image)
        if size != native_shape[:2]:
            image = tf.cast(tf.round(tf.image.resize(image, size)), tf.uint8)
        return image, example[label_key]

    # shuffle_files stays off and reads are ordered: an example's index is always the same.
    dataset = builder.as_dataset(split=split).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    images, labels = zip(*dataset.as_numpy_iterator())
    classes = tuple(builder.info.features[label_key].names)
    return ArraySource(np.stack(images), np.array(labels, np.int32), classes)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
