"""Folders, files and words with something wrong in each, for the tables of mistakes."""

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
from pathlib import Path

import numpy as np

from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import CheckpointStore
from trainer.config import TrainConfig

IDX_NAMES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip
# What cannot well stand in a table.
_WORDS = {
    "long": 300 * "n",
    "newline": "\n",
    "escape": "\x1b[31m",
    "bytes": "\udcff\udcfe",
    "shown_bytes": r"\udcff\udcfe",
    "huge": 30 * "9",
}


def make_places(root: Path) -> dict[str, str]:
    """Makes them below `root`; returns the paths, and the words, by the names of the tables."""
    _make_files(root)
    _make_image_folders(root)
    _make_idx_folders(root)
    _make_runs(root)
    return {**_WORDS, **{path.stem: str(path) for path in root.iterdir()}, "root": str(root)}


def _make_files(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "flagfile.txt").write_text("# what we use\n--seed=3\n\n--xyzzy=red\n")
    (root / "no_text.txt").write_bytes(b"\xff\xfe--seed=3")
    (root / "archive").mkdir()
    (root / "archive" / "mnist.npz").write_bytes(b"PK\x03\x04 not quite")
    (root / "cifar").mkdir()
    (root / "cifar" / "cifar-10-binary.tar.gz").write_bytes(b"<html>404</html>")
    (root / "results").mkdir()


def _make_image_folders(root: Path) -> None:
    for name, folders in {
        "one_class": ["cat"],
        "empty_class": ["cat", "dog/"],
        "splits": ["train/cat", "train/dog", "test/cat", "test/cow"],
        "copy": ["cat/dog", "dog"],
    }.items():
        for folder in folders:
            (root / name / folder).mkdir(parents=True)
            if not folder.endswith("/"):
                (root / name / folder / "1.jpg").write_bytes(b"\xff\xd8\xff")


def _make_idx_folders(root: Path) -> None:
    images, labels, test_images, _ = IDX_NAMES
    for name in ("magic", "truncated", "not_gzip", "label"):
        _write_mnist(root / name)
    _write_idx(root / "magic" / images, 2049, np.arange(5))
    whole = (root / "truncated" / labels).read_bytes()
    (root / "truncated" / labels).write_bytes(whole[: len(whole) // 2])
    (root / "not_gzip" / test_images).write_bytes(b"<html>404</html>")
    _write_idx(root / "label" / labels, 2049, np.array([0, 1, 9, 10, 200]))


def _make_runs(root: Path) -> None:
    """Makes a run with a checkpoint of step 5, as it is read without TensorFlow, and worse."""
    config = TrainConfig(seed=3)
    facts = {
        "class_names": [str(digit) for digit in range(10)], "image_shape": [8, 8, 1],
        "model": "mlp", "precision": "float32",
    }  # fmt: skip
    plan = {"total_steps": 5, "data": facts}
    for name in ("run", "bad_config", "deep", "bad_model", "bad_checkpoint", "bad_job"):
        folder = root / name
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "config.json").write_text(json.dumps(config.to_json()))
        (folder / "plan.json").write_text(json.dumps(plan))
    for name in ("run", "bad_checkpoint"):
        store = CheckpointStore(root / name / "checkpoints", keep=1, tell=print)
        store.save({"model/0000/kernel": np.zeros(3, np.float32)}, Progress(step=5))
    (root / "bad_checkpoint" / "checkpoints" / "ckpt-00000005" / "arrays.npz").write_bytes(b"PK")
    (root / "bad_config" / "config.json").write_text(repr(dataclasses.asdict(config)))
    (root / "deep" / "config.json").write_text(100_000 * "[")
    evil = {"total_steps": 5, "data": {**facts, "model": "../../evil"}}
    (root / "bad_model" / "plan.json").write_text(json.dumps(evil))
    (root / "bad_job" / "job.json").write_text("{}")


def _write_idx(path: Path, magic: int, array: np.ndarray) -> None:
    header = struct.pack(f">{1 + array.ndim}i", magic, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def _write_mnist(folder: Path) -> None:
    """Writes the four files of a sound, tiny MNIST."""
    folder.mkdir()
    for images, labels in (IDX_NAMES[:2], IDX_NAMES[2:]):
        _write_idx(folder / images, 2051, np.arange(5 * 28 * 28).reshape(5, 28, 28) % 256)
        _write_idx(folder / labels, 2049, np.arange(5))
