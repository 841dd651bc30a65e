"""The weights that a run starts from: read, held against the model, and taken over.

Weights are plain numbers in the order of `model.weights`. The last layer, the head, may be new: it
belongs to the classes. Of files the numbers alone are read, so nothing in them is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.utils import file_utils  # keras.applications looks its get_file up there.

from flowrate.errors import ConfigError
from input_pipelines.fetch.download import OFFLINE, is_offline, unreachable
from models import MODELS
from trainer.checkpoints.npz import read_arrays
from trainer.model.weights import IMAGENET, Start

# What Keras names the weights in its archive.
_MEMBER = "model.weights.h5"
_CHECKPOINT_PREFIX = "model/"
_NUM_DIFFERENCES = 3


def head_of(model: keras.Model) -> keras.layers.Layer:
    """Returns the last layer that has weights."""
    return [layer for layer in model.layers if layer.weights][-1]


def take_over(model: keras.Model, start: Start, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Gives a model the weights that its run starts from.

    Args:
        model: built; its image size and classes are those of the data.
        start: what they are.
        class_names: of the data. The head of a run with other classes is left out.

    Returns:
        For the record: {"source", "tensors", "of", "new", "sha256"}; `new` names the layer that
        keeps its random weights, or is empty, and `sha256` is that of all values taken over.

    Raises:
        ConfigError: they cannot be read, or do not fit.
        RunDirError: the run has no checkpoint, or it is damaged.
    """
    source, found = _read(model, start)
    head = head_of(model)
    is_of_head = {id(weight) for weight in head.weights}
    found += [None] * (len(model.weights) - len(found))
    if start.run and start.run.class_names != class_names:
        found[-len(head.weights) :] = [None] * len(head.weights)
    taken, differences = [], []
    for weight, value in zip(model.weights, found):
        if value is not None and value.shape == tuple(weight.shape):
            taken.append((weight, value))
        elif id(weight) not in is_of_head:
            theirs = "missing" if value is None else f"{list(value.shape)} there"
            differences.append(f"{weight.path} is {list(weight.shape)} here and {theirs}")
    if len(found) > len(model.weights):
        differences.append(f"{len(found)} tensors there and {len(model.weights)} here")
    if differences:
        more = len(differences) - _NUM_DIFFERENCES
        raise ConfigError(
            f"--weights={start.weights} does not fit --model={start.model}: "
            f"{'; '.join(differences[:_NUM_DIFFERENCES])}{f'; and {more} more' * (more > 0)}. "
            "Give the weights of the same model and image size."
        )
    digest = hashlib.sha256()
    for weight, value in taken:
        weight.assign(value)
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return {
        "source": source,
        "tensors": len(taken),
        "of": len(model.weights),
        "new": "" if len(taken) == len(model.weights) else head.name,
        "sha256": digest.hexdigest(),
    }


def _read(model: keras.Model, start: Start) -> tuple[str, list[np.ndarray | None]]:
    """Returns where weights come from, and their values in the order of `model.weights`."""
    if start.run:
        checkpoint = start.run.checkpoint()
        names = sorted(name for name in checkpoint.arrays if name.startswith(_CHECKPOINT_PREFIX))
        source = f"{start.run.path}, step {checkpoint.progress.step:,}"
        return source, [checkpoint.arrays[name] for name in names]
    if start.weights == IMAGENET:
        module, argument = MODELS.load(start.model)
        with _checked_downloads(model):
            return module.imagenet_weights(model.input_shape[1:], *([argument] if argument else []))
    path = Path(os.path.expanduser(start.weights))
    try:
        if path.name.endswith(".npz"):
            arrays = read_arrays(path)
            names = sorted(name for name in arrays if name.startswith(_CHECKPOINT_PREFIX))
            return str(path), [arrays[name] for name in names or arrays]
        if path.name.endswith(".keras"):
            return str(path), _read_h5(_member_of(path), model)
        return str(path), _read_h5(path, model)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--weights={start.weights}: cannot be read ({reason}).") from None


def _member_of(path: Path) -> io.BytesIO:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(_MEMBER)
        if member.file_size > path.stat().st_size:  # Keras does not compress: it would be a bomb.
            raise ValueError(f"{_MEMBER} is compressed")
        return io.BytesIO(archive.read(member))


def _read_h5(file: Path | io.BytesIO, model: keras.Model) -> list[np.ndarray | None]:
    """Reads the values that a model of this structure keeps, None for those that are not there.

    Values whose shape is not the model's are represented by an array that takes no memory: a file
    may promise any shape.
    """
    found: list[np.ndarray | None] = []
    with h5py.File(file, "r") as archive:
        for name, weight in zip(_h5_names(model), model.weights, strict=True):
            dataset = _plain_dataset(archive, name)
            if dataset is None:
                found.append(None)
            elif dataset.shape != tuple(weight.shape):
                found.append(np.broadcast_to(np.float32(0), dataset.shape))
            else:
                found.append(np.asarray(dataset[()], np.float32))
    return found


def _plain_dataset(archive: h5py.File, name: str) -> h5py.Dataset | None:
    """Returns a dataset whose values lie in the file itself; None where there is none."""
    place = archive
    for part in name.split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            return None
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        return None
    if place.external or place.is_virtual or place.dtype.kind != "f":
        raise ValueError(f"{name} does not hold plain numbers")
    return place


def _h5_names(model: keras.Model) -> Iterator[str]:
    """Yields the names that Keras gives the weights of a flat model in a file, in their order.

    Layers are numbered by class, in the order of `model.layers`: layers/conv2d_3/vars/0.
    """
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = re.sub(r"\W+", "", type(layer).__name__)
        kind = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind))
        kind = kind.lower()
        number = counts[kind] = counts.get(kind, -1) + 1
        for position in range(len(layer.weights)):
            yield f"layers/{kind}{f'_{number}' if number else ''}/vars/{position}"


@contextlib.contextmanager
def _checked_downloads(model: keras.Model) -> Iterator[None]:
    """Within the block, a file that Keras needs and cannot fetch is named at once, in one line."""
    fetch = file_utils.get_file
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    size = f"about {model.count_params() * 4 / 1e6:,.0f} MB"

    def get_file(fname: str, origin: str, **settings: Any) -> str:
        path, published = folder / fname, settings.get("file_hash")
        if path.is_file():
            if published and not file_utils.validate_file(path, published):
                raise ConfigError(
                    f"--weights=imagenet: {path} is damaged: its hash is not the published "
                    f"{published}; delete it."
                )
            return str(path)
        host = origin.split("/")[2]
        reason = f"{OFFLINE} is set" if is_offline() else unreachable(origin)
        if not reason:
            try:
                return fetch(fname, origin, **settings)
            except Exception as error:  # Keras raises plain Exception.
                reason = " ".join(str(error).split())
        raise ConfigError(
            f"--weights=imagenet: {fname} ({size} from {host}) is not here and cannot be fetched "
            f"({reason}). Put it at {path}, or use --model=efficientnet_lite0, whose weights come "
            "with a package."
        )

    file_utils.get_file = get_file
    try:
        yield
    finally:
        file_utils.get_file = fetch
