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
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults._attempt import Attempt, Broken, check
from benchmarks.faults._mistaken_places import make_places
from benchmarks.faults._mistakes import IMPORTED_TENSORFLOW, ROOT
from benchmarks.faults._peak import run_measured

_SECRET = "the password is 1234"
_MOST_SECONDS, _MOST_MEBIBYTES = 60, 400
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
    ] + [Attempt("hostile model files", _try_models)]


class Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, (f"touch {os.environ.get('FLOWRATE_PWNED', 'pwned')}",)


def _try_all(reader: str, folder: Path) -> dict[str, float]:
    (folder / "places").mkdir()
    make_places(folder / "places")
    sound = folder / "places" / "run"
    poison = _make_poison(folder)
    copy = Path(shutil.copytree(sound, folder / "sound" / "run"))
    _check_taken("a sound one", reader, copy, poison)
    found = {"hostile_run_directories": 0.0, "most_mebibytes": 0.0, "most_seconds": 0.0}
    for name, spoil in {**_SPECIAL, **_CONTENTS, **_BY_READER.get(reader, {})}.items():
        place = folder / str(int(found["hostile_run_directories"]))
        place.mkdir()
        (place / "treasure").write_text(_SECRET)
        run = Path(shutil.copytree(sound, place / "run"))
        spoil(run)
        seconds, mebibytes = _check_refused(name, reader, run, poison)
        found["hostile_run_directories"] += 1
        found["most_mebibytes"] = max(found["most_mebibytes"], mebibytes)
        found["most_seconds"] = max(found["most_seconds"], seconds)
    return found


def _try_models(folder: Path) -> dict[str, float]:
    """Model files that hold code: model.keras of a run is not read, and none is taken for a run."""
    (folder / "places").mkdir()
    make_places(folder / "places")
    poison = _make_poison(folder)
    for number, (name, content) in enumerate(_model_files().items()):
        place = folder / str(number)
        place.mkdir()
        (place / "treasure").write_text(_SECRET)
        run = Path(shutil.copytree(folder / "places" / "run", place / "run"))
        (run / "model.keras").write_bytes(content)
        _check_taken(name, "evaluate", run, poison)
        shutil.rmtree(place / "work")
        (place / "model.keras").write_bytes(content)
        _check_refused(name, "evaluate", place / "model.keras", poison)
    return {"hostile_model_files": len(_model_files()), "code_runs": 0}


def _model_files() -> dict[str, bytes]:
    layers = {
        "Lambda": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}},
        "TorchModuleWrapper": {"module": pickle.dumps(Payload()).hex()},
        "TFSMLayer": {"filepath": "../treasure"},
    }
    files = {"a pickle": pickle.dumps(Payload()), "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100)}
    array = io.BytesIO()
    np.save(array, _OBJECTS)
    files["a pickled array"] = array.getvalue()
    for name, config in layers.items():
        archive = io.BytesIO()
        layer = {"module": "keras.layers", "class_name": name, "config": config}
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("config.json", json.dumps(layer))
        files[name] = archive.getvalue()
    return files


def _make_poison(folder: Path) -> Path:
    """Returns a folder for PYTHONPATH: importing TensorFlow ends the process."""
    package = folder / "poison" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import os\nos._exit({IMPORTED_TENSORFLOW})\n")
    return package.parent


def _check_taken(name: str, reader: str, run: Path, poison: Path) -> None:
    """Checks that nothing speaks against the run: what follows is not this promise's."""
    exit_code, said, _ = _read(reader, run, poison)
    wanted = {"report": 0, "predict": 3}.get(reader, IMPORTED_TENSORFLOW)
    check(exit_code == wanted, f"{name}, {reader}: status {exit_code}, {said[-300:]!r}")
    check(not [*run.parent.rglob("pwned")], f"{name}, {reader}: ran code")


def _check_refused(name: str, reader: str, run: Path, poison: Path) -> tuple[float, float]:
    """Returns the seconds until the answer, and the mebibytes it took."""
    started = time.perf_counter()
    exit_code, said, mebibytes = _read(reader, run, poison)
    where = f"{name}, {reader}: status {exit_code}, {said[-300:]!r}"
    check(exit_code == 5, f"{where}; promised status 5")
    check(said.startswith("error: ") and said.count("\n") == 1, f"{where}; promised one line")
    check(said.rstrip("\n").isprintable() and "1234" not in said, f"{where}; shows what it read")
    check((run.parent / "treasure").read_text() == _SECRET, f"{where}; wrote outside")
    made = [*run.parent.rglob("pwned"), *(run.parent / "work").iterdir()]
    check(not made, f"{where}; made {made}")
    check(mebibytes < _MOST_MEBIBYTES, f"{where}; took {mebibytes:.0f} MiB")
    return time.perf_counter() - started, mebibytes


def _read(reader: str, run: Path, poison: Path) -> tuple[int, str, float]:
    """Returns the status, what stands on standard error, and the mebibytes that it took."""
    words = _READERS[reader].format(run=run).split()
    work = run.parent / "work"
    work.mkdir()
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(poison), str(ROOT)]),
        "HOME": str(work.parent / "home"), "MPLCONFIGDIR": str(work.parent / "home"),
    }  # fmt: skip
    with (run.parent / "stderr").open("w+b") as errors:
        try:
            status, mebibytes = run_measured(
                [sys.executable, "-m", *words], run.parent / "peak", _MOST_SECONDS, cwd=work,
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Broken(f"{words}: no answer within {_MOST_SECONDS} s") from None
    return status, (run.parent / "stderr").read_text(errors="replace"), mebibytes


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
