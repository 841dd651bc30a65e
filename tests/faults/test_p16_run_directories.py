"""P16: run directories made to do harm are refused by name; nothing in them is executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.tools.refusals import IMPORTED_TENSORFLOW, Payload, Place, put_arrays
from faults.tools.sizes import FULL

_CHECKPOINT = "checkpoints/ckpt-00000005"
# The commands that read a run, as words after `python -m`, and how they end where it is sound.
_READERS = {
    "train": ("trainer.main --seed=3 --run_dir={run}", IMPORTED_TENSORFLOW),
    "evaluate": ("trainer.evaluate {run}", IMPORTED_TENSORFLOW),
    "predict": ("trainer.predict {run} x.jpg", 3),
    "export": ("trainer.export {run}", IMPORTED_TENSORFLOW),
    "report": ("trainer.report {run}", 0),
}
_OBJECTS = np.array([Payload()], object)
_PLAN = {"class_names": ["a", "b"], "image_shape": [8, 8, 1], "model": "mlp",
         "precision": "float32"}  # fmt: skip


def _instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Returns what replaces a file or folder of a run by what `make` makes."""

    def spoil(run: Path) -> None:
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        make(path)

    return spoil


def _text(name: str, text: str) -> Callable[[Path], None]:
    return _instead(name, lambda path: path.write_text(text))


def _plan(**change: object) -> Callable[[Path], None]:
    return _text("plan.json", json.dumps({"total_steps": 5, "data": {**_PLAN, **change}}))


def _arrays(write: Callable[[io.BytesIO], object]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        stream = io.BytesIO()
        write(stream)
        put_arrays(run, stream.getvalue())

    return spoil


def _terabytes(stream) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**12,)}
    )
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/0000/kernel.npy", header.getvalue())


_ZEROS = {"model/0000/kernel": np.zeros(2**28, np.uint8)}
_USERS = ("evaluate", "predict", "export")
# What is spoiled, and which commands read it; empty: all.
_SPOILED: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "a pipe as config.json": (_instead("config.json", os.mkfifo), ()),
    "a pipe as metrics.jsonl": (_instead("metrics.jsonl", os.mkfifo), ()),
    "a pipe as arrays.npz": (_instead(f"{_CHECKPOINT}/arrays.npz", os.mkfifo), ()),
    "a link as config.json": (_instead("config.json", lambda p: p.symlink_to("../treasure")), ()),
    "a link as lock": (_instead("lock", lambda p: p.symlink_to("../treasure")), ()),
    "a link as a checkpoint": (_instead(_CHECKPOINT, lambda p: p.symlink_to("/dev/zero")), ()),
    "a link to itself": (_instead("result.json", lambda p: p.symlink_to("result.json")), ()),
    "a link to be made": (_instead("traceback.txt", lambda p: p.symlink_to("../made")), ()),
    "brackets without end": (_text("config.json", 100_000 * "["), ()),
    "a config of 64 GB": (lambda run: os.truncate(run / "config.json", 2**36), ()),
    "no object": (_text("config.json", '"rm -rf"'), ()),
    "no text": (_instead("config.json", lambda path: path.write_bytes(b"\xff\xfe\x00")), ()),
    "pickled objects": (_arrays(lambda f: np.savez(f, **{"model/0000/kernel": _OBJECTS})), _USERS),
    "a pickle for arrays": (_arrays(lambda f: f.write(pickle.dumps(Payload()))), _USERS),
    "arrays that grow": (_arrays(lambda f: np.savez_compressed(f, **_ZEROS)), _USERS),
    "arrays of terabytes": (_arrays(_terabytes), _USERS),
    "a list for progress": (_text(f"{_CHECKPOINT}/progress.json", "[]"), _USERS),
    "a manifest without end": (_text(f"{_CHECKPOINT}/manifest.json", 100_000 * "["), _USERS),
    "a model of code": (_plan(model="os.system"), (*_USERS, "report")),
    "a path for a model": (_plan(model="../../evil"), (*_USERS, "report")),
    "images of terabytes": (_plan(image_shape=[10**6, 10**6, 3]), (*_USERS, "report")),
    "an escape sequence": (_plan(class_names=["\x1b]0;owned\x07", "b"]), (*_USERS, "report")),
    "pickled predictions": (
        lambda run: np.savez(run / "predictions.npz", labels=_OBJECTS), ("report",)
    ),
    "predictions of terabytes": (lambda run: _terabytes(run / "predictions.npz"), ("report",)),
}  # fmt: skip


def _chosen() -> list:
    """Returns who reads what: each with all of its readers, or each with one, in turn."""
    found = []
    for number, (name, (_, readers)) in enumerate(_SPOILED.items()):
        readers = readers or tuple(_READERS)
        for reader in readers if FULL else [readers[number % len(readers)]]:
            marks = [] if number % 8 == 0 else [pytest.mark.slow]
            found.append(pytest.param(name, reader, marks=marks, id=f"{reader}: {name}"))
    return found


@pytest.mark.parametrize(("name", "reader"), _chosen())
def test_it_is_refused(name, reader, tmp_path, record):
    place = Place(tmp_path / "place")
    _SPOILED[name][0](place.run)
    words = _READERS[reader][0].format(run=place.run).split()
    record(hostile_run_directories=1, **place.check_refused(words, status=5))


@pytest.mark.slow
@pytest.mark.parametrize("reader", _READERS)
def test_a_sound_one_is_taken(reader, tmp_path):
    place = Place(tmp_path / "place")
    words, status = _READERS[reader]
    exit_code, said, _ = place.use(words.format(run=place.run).split())
    assert exit_code == status, said
