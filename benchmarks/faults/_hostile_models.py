"""Model files made to do harm, handed to our commands wherever a user might: none is opened as one.

A run's own model.keras and export/ are written and never read; what is given in place of a run, of
its weights, of images, of flags or of data is refused by what it is not.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.faults import _refusals, _runs
from benchmarks.faults._attempt import Attempt, check
from benchmarks.faults._mistaken_places import make_places

_MOST_MEDIAN_SECONDS = 5.0
# By what a user may take the file for: the command, as words after `python -m`, and its status.
_GIVEN = {
    "a run that is evaluated": ("trainer.evaluate {file}", 5),
    "a run that is exported": ("trainer.export {file}", 5),
    "a run that is reported": ("trainer.report {file}", 5),
    "a run that predicts": ("trainer.predict {file} x.jpg", 5),
    "flags": ("trainer.main --flagfile={file}", 2),
    "a model": ("trainer.main --model={file} --run_dir=made", 2),
    "data": ("trainer.main --dataset=image_folder --data_dir={file} --run_dir=made", 3),
}
_FLAGS = {"dataset": "digits", "model": "mlp16", "steps": 20, "deterministic": True}
# The commands on a run that do their whole work, TensorFlow and all.
_USES = (
    "trainer.evaluate {run} --json", "trainer.predict {run} {image}", "trainer.report {run}",
    "trainer.export {run} --format=keras",
)  # fmt: skip


def attempts() -> list[Attempt]:
    """Returns an attempt for each place that a model file may be given in."""
    return [
        *(
            Attempt(f"hostile model files for {what}", functools.partial(_try_given, what))
            for what in _GIVEN
        ),
        Attempt("hostile model files unpacked for a run", _try_unpacked),
        Attempt("hostile model files for weights", _try_weights),
        Attempt("hostile model files in a run", _try_in_run),
        Attempt("hostile model files in a run that is used", _try_used),
    ]


_made: list[tempfile.TemporaryDirectory] = []


def _models() -> list[Path]:
    """Returns the files, and the folder that is one; they are made once in a process."""
    if not _made:
        _made.append(tempfile.TemporaryDirectory(prefix="flowrate-models-"))
        folder = Path(_made[0].name)
        (folder / "files").mkdir()
        (folder / "secret").write_text(_refusals.SECRET)
        # Building a model runs its code: there, not here.
        words = f"benchmarks.faults._hostile_model_files {folder / 'files'} {folder / 'secret'}"
        _use(words, folder)
    found = sorted((Path(_made[0].name) / "files").iterdir())
    check(len(found) >= 12, f"only {len(found)} files were made")
    return found


def _try_given(what: str, folder: Path) -> dict[str, float]:
    words, status = _GIVEN[what]

    def give(model: Path, place: Path, sound: Path) -> list[str]:
        file = _copy(model, place / model.name)
        return [word.format(file=file, run=sound) for word in words.split()]

    return _refuse_each(_models(), give, folder, status)


def _try_unpacked(folder: Path) -> dict[str, float]:
    """A model's own config.json lies where a run's is expected."""

    def unpack(model: Path, place: Path, sound: Path) -> list[str]:
        with zipfile.ZipFile(model) as archive:
            for name in ("config.json", "metadata.json", "model.weights.h5"):
                archive.extract(name, place / "run")
        return ["trainer.evaluate", str(place / "run")]

    return _refuse_each(filter(zipfile.is_zipfile, _models()), unpack, folder)


def _try_weights(folder: Path) -> dict[str, float]:
    """The file lies where a checkpoint's arrays are expected, and the manifest vouches for it."""

    def put(model: Path, place: Path, sound: Path) -> list[str]:
        run = Path(shutil.copytree(sound, place / "run"))
        _put_weights(next((run / "checkpoints").iterdir()), model.read_bytes())
        return ["trainer.evaluate", str(run)]

    return _refuse_each(filter(Path.is_file, _models()), put, folder)


def _refuse_each(
    models: Iterable[Path],
    lay: Callable[[Path, Path, Path], list[str]],
    folder: Path,
    status: int = 5,
) -> dict[str, float]:
    """Checks that each model is refused by the command that `lay` returns.

    Args:
        models: the files.
        lay: (model, place, a sound run) -> the command; it lays the model into the place.
        folder: an empty one.
        status: that each command must end with.
    """
    sound, poison = _prepare(folder)
    seconds, mebibytes = [], []
    for number, model in enumerate(models):
        place = _refusals.make_place(folder / str(number))
        words = lay(model, place, sound)
        found = _refusals.check_refused(model.name, words, place, poison, status)
        seconds.append(found[0])
        mebibytes.append(found[1])
    return _figures(seconds, mebibytes) | {"model_files_given": len(seconds)}


def _try_in_run(folder: Path) -> dict[str, float]:
    """The file is the run's model.keras, and lies in its export/: the run is as sound as before."""
    sound, poison = _prepare(folder)
    for number, model in enumerate(_models()):
        place = _refusals.make_place(folder / str(number))
        run = Path(shutil.copytree(sound, place / "run"))
        _copy(model, run / "model.keras")
        _copy(model, run / "export" / "keras" / "model.keras")
        _refusals.check_taken(model.name, ["trainer.evaluate", str(run)], place, poison)
    return {"hostile_model_files": len(_models()), "code_runs": 0}


def _try_used(folder: Path) -> dict[str, float]:
    """All lie in a trained run, which is then evaluated, exported and so on, to the end of each."""
    from PIL import Image

    work = folder / "work"
    work.mkdir()
    training = _runs.Training(folder / "run", **_FLAGS)
    training.finish()
    Image.new("L", (8, 8), 128).save(folder / "image.png")
    words = [word.format(run=training.run_dir, image=folder / "image.png") for word in _USES]
    before = _use(words[0], work)
    models = _models()
    for model in models:
        for place in (training.run_dir, training.run_dir / "export" / "old"):
            _copy(model, place / model.name)
    shutil.copyfile(next(m for m in models if "Lambda" in m.name), training.run_dir / "model.keras")
    check(_use(words[0], work) == before, "hostile files in a run change its evaluation")
    for command in words[1:]:
        _use(command, work)
    files = [str(model) for model in models if model.is_file()]
    _, said = _run(["trainer.predict", str(training.run_dir), *files], work, status=3)
    for file in files:
        check(said.count(file) == 1, f"{file}, given as an image, is not named once: {said}")
    training.finish()
    made = [path for path in folder.rglob("*") if path.name == "pwned"]
    check(not made, f"ran code: {made}")
    check(not [*work.iterdir()], f"left behind: {[*work.iterdir()]}")
    return {"code_runs": 0, "runs_used": 1}


def _use(words: str, work: Path) -> str:
    return _run(words.split(), work)[0]


def _run(words: list[str], work: Path, status: int = 0) -> tuple[str, str]:
    """Returns what a command says, on standard output and on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=work, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(_runs.ROOT)}, timeout=240,
    )  # fmt: skip
    where = f"{words[:2]}: status {done.returncode}: {done.stderr[-300:]}"
    check(done.returncode == status, where)
    check("1234" not in done.stdout + done.stderr, f"{where}; shows a secret")
    return done.stdout, done.stderr


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Returns a run that is sound, as far as TensorFlow is not needed, and the poison."""
    (folder / "places").mkdir()
    make_places(folder / "places")
    return folder / "places" / "run", _refusals.make_poison(folder)


def _copy(model: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path((shutil.copytree if model.is_dir() else shutil.copyfile)(model, path))


def _put_weights(checkpoint: Path, content: bytes) -> None:
    (checkpoint / "arrays.npz").write_bytes(content)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"]["arrays.npz"] = facts
    (checkpoint / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _figures(seconds: list[float], mebibytes: list[float]) -> dict[str, float]:
    median = statistics.median(seconds)
    check(median <= _MOST_MEDIAN_SECONDS, f"an answer takes {median:.1f} s")
    return {"code_runs": 0, "most_seconds": max(seconds), "most_mebibytes": max(mebibytes)}
