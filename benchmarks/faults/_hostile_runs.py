"""Run directories made to do harm: each is refused by name, at once; nothing in it is executed."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults import _refusals
from benchmarks.faults._attempt import Attempt
from benchmarks.faults._mistaken_places import make_places

_FILES = (
    "config.json", "plan.json", "result.json", "environment.json", "metrics.jsonl", "lock",
    "predictions.npz", "checkpoints", "checkpoints/ckpt-00000005",
    "checkpoints/ckpt-00000005/arrays.npz", "checkpoints/ckpt-00000005/progress.json",
    "checkpoints/ckpt-00000005/manifest.json", "tensorflow.log",
)  # fmt: skip
# The commands that read a run directory, as words after `python -m`.
_READERS = {
    "train": "trainer.main --seed=3 --run_dir={run}",
    "evaluate": "trainer.evaluate {run}",
    "predict": "trainer.predict {run} x.jpg",
    "export": "trainer.export {run}",
    "report": "trainer.report {run}",
}
Spoil = Callable[[Path], None]


def attempts() -> list[Attempt]:
    """Returns an attempt for each command that reads a run directory."""
    return [
        Attempt(f"hostile run directories, {name}", functools.partial(_try_all, name))
        for name in _READERS
    ]


class Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def _try_all(reader: str, folder: Path) -> dict[str, float]:
    (folder / "places").mkdir()
    make_places(folder / "places")
    sound = folder / "places" / "run"
    poison = _refusals.make_poison(folder)
    copy = Path(shutil.copytree(sound, folder / "sound" / "run"))
    _refusals.check_taken("a sound one", _words(reader, copy), copy.parent, poison)
    found = {"hostile_run_directories": 0.0, "most_mebibytes": 0.0, "most_seconds": 0.0}
    for name, spoil in {**_SPECIAL, **_CONTENTS, **_BY_READER.get(reader, {})}.items():
        place = _refusals.make_place(folder / str(int(found["hostile_run_directories"])))
        run = Path(shutil.copytree(sound, place / "run"))
        spoil(run)
        seconds, mebibytes = _refusals.check_refused(name, _words(reader, run), place, poison)
        found["hostile_run_directories"] += 1
        found["most_mebibytes"] = max(found["most_mebibytes"], mebibytes)
        found["most_seconds"] = max(found["most_seconds"], seconds)
    return found


def _words(reader: str, run: Path) -> list[str]:
    return [word.format(run=run) for word in _READERS[reader].split()]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _pipe(name: str) -> Spoil:
    def spoil(run: Path) -> None:
        _remove(run / name)
        os.mkfifo(run / name)

    return spoil


def _link(name: str, to: str) -> Spoil:
    def spoil(run: Path) -> None:
        _remove(run / name)
        (run / name).symlink_to(to)

    return spoil


def _socket(run: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(run)  # The name of a socket must be short.
        try:
            _remove(Path("plan.json"))
            server.bind("plan.json")
        finally:
            os.chdir(before)


_SPECIAL: dict[str, Spoil] = {
    **{f"a pipe as {name}": _pipe(name) for name in _FILES},
    **{f"a link as {name}": _link(name, "/dev/zero" if "/" in name else "../treasure")
       for name in _FILES},
    "a link to itself": _link("result.json", "result.json"),
    "a link to nothing that would be made": _link("traceback.txt", "../made"),
    "a socket": _socket,
}  # fmt: skip


def _text(name: str, text: str) -> Spoil:
    def spoil(run: Path) -> None:
        (run / name).write_text(text)

    return spoil


def _sparse(name: str) -> Spoil:
    def spoil(run: Path) -> None:
        os.truncate(run / name, 2**36)

    return spoil


def _arrays(write: Callable[[Path], object]) -> Spoil:
    """Puts other arrays into the checkpoint, with a manifest that vouches for them."""

    def spoil(run: Path) -> None:
        folder = run / "checkpoints" / "ckpt-00000005"
        write(folder / "arrays.npz")
        manifest = json.loads((folder / "manifest.json").read_text())
        content = (folder / "arrays.npz").read_bytes()
        facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest["files"]["arrays.npz"] = facts
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

    return spoil


def _terabytes(path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**12,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/0000/kernel.npy", header.getvalue())


_CONTENTS: dict[str, Spoil] = {
    "brackets without end": _text("config.json", 100_000 * "["),
    "a config of 64 GB": _sparse("config.json"),
    "no object": _text("config.json", '"rm -rf"'),
    "bytes that are no text": lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"),
}
_OBJECTS = np.array([Payload()], object)
_CHECKPOINT: dict[str, Spoil] = {
    "pickled objects": _arrays(lambda path: np.savez(path, **{"model/0000/kernel": _OBJECTS})),
    "a pickle for arrays": _arrays(lambda path: path.write_bytes(pickle.dumps(Payload()))),
    "an array that grows": _arrays(
        lambda path: np.savez_compressed(path, **{"model/0000/kernel": np.zeros(2**28, np.uint8)})
    ),
    "a shape of terabytes": _arrays(_terabytes),
    "progress that is a list": _text("checkpoints/ckpt-00000005/progress.json", "[]"),
    "a manifest without end": _text("checkpoints/ckpt-00000005/manifest.json", 100_000 * "["),
}
_PLAN: dict[str, Spoil] = {
    f"a plan with {name}": _text(
        "plan.json",
        json.dumps({"total_steps": 5, "data": {
            "class_names": ["a", "b"], "image_shape": [8, 8, 1], "model": "mlp",
            "precision": "float32", **change,
        }}),
    )
    for name, change in {
        "a model of code": {"model": "os.system"}, "a path for a model": {"model": "../../evil"},
        "a private module": {"model": "_layers"}, "an image of terabytes": {
            "image_shape": [10**6, 10**6, 3]},
        "an escape sequence": {"class_names": ["\x1b]0;owned\x07", "b"]},
        "no classes": {"class_names": []},
    }.items()
}  # fmt: skip
_PREDICTIONS: dict[str, Spoil] = {
    "pickled predictions": lambda run: np.savez(run / "predictions.npz", labels=_OBJECTS),
    "predictions that grow": lambda run: np.savez_compressed(
        run / "predictions.npz", labels=np.zeros(2**28, np.uint8)
    ),
    "predictions of terabytes": lambda run: _terabytes(run / "predictions.npz"),
}
# What only some commands read.
_BY_READER: dict[str, dict[str, Spoil]] = {
    "evaluate": {**_PLAN, **_CHECKPOINT},
    "predict": {**_PLAN, **_CHECKPOINT},
    "export": {**_PLAN, **_CHECKPOINT},
    "report": {**_PLAN, **_PREDICTIONS},
}
