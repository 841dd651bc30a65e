"""P16: model files made to do harm, handed to our commands wherever a user might.

None is opened as one: a run's own model.keras and export/ are written and never read; what is given
in place of a run, of its weights, of images, flags or data is refused by what it is not.
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from faults.tools import runs
from faults.tools.refusals import SECRET, Place, put_arrays
from faults.tools.sizes import FULL

pytestmark = pytest.mark.slow
# By what a user may take the file for: the command, as words after `python -m`, and its status.
_GIVEN = {
    "a_run_to_evaluate": ("trainer.evaluate {file}", 5),
    "a_run_to_export": ("trainer.export {file}", 5),
    "a_run_to_report": ("trainer.report {file}", 5),
    "a_run_that_predicts": ("trainer.predict {file} x.jpg", 5),
    "flags": ("trainer.main --flagfile={file}", 2),
    "a_model": ("trainer.main --model={file} --run_dir=made", 2),
    "data": ("trainer.main --dataset=image_folder --data_dir={file} --run_dir=made", 3),
}
_FLAGS = {"dataset": "digits", "model": "mlp16", "steps": 20, "deterministic": True}
# The commands on a run that do their whole work, TensorFlow and all.
_USES = (
    "trainer.evaluate {run} --json", "trainer.predict {run} {image}", "trainer.report {run}",
    "trainer.export {run} --format=keras",
)  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """The files, and the folder that is one."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "files").mkdir()
    (folder / "secret").write_text(SECRET)
    # Building a model runs its code: there, not here.
    _use(["faults.tools.model_files", str(folder / "files"), str(folder / "secret")], folder)
    found = sorted((folder / "files").iterdir())
    assert len(found) == 12
    return found


@pytest.mark.parametrize("what", _GIVEN)
def test_given_by_mistake(what, models, tmp_path, record):
    """Each is given as everything; of every change, as a third of it."""
    command, status = _GIVEN[what]
    offset = list(_GIVEN).index(what) % 3
    for number, model in enumerate(models if FULL else models[offset::3]):
        place = Place(tmp_path / str(number))
        file = _copy(model, place.folder / model.name)
        words = [word.format(file=file) for word in command.split()]
        record(model_files_given=1, code_runs=0, **place.check_refused(words, status))


def test_unpacked_for_a_run(models, tmp_path, record):
    """A model's own config.json lies where a run's is expected."""
    for number, model in enumerate(filter(zipfile.is_zipfile, models)):
        place = Place(tmp_path / str(number))
        shutil.rmtree(place.run)
        with zipfile.ZipFile(model) as archive:
            for name in ("config.json", "metadata.json", "model.weights.h5"):
                archive.extract(name, place.run)
        found = place.check_refused(["trainer.evaluate", str(place.run)], 5)
        record(model_files_given=1, **found)


def test_for_weights(models, tmp_path, record):
    """The file lies where a checkpoint's arrays are expected, and the manifest vouches for it."""
    for number, model in enumerate(filter(Path.is_file, models)):
        place = Place(tmp_path / str(number))
        put_arrays(place.run, model.read_bytes())
        found = place.check_refused(["trainer.evaluate", str(place.run)], 5)
        record(model_files_given=1, **found)


def test_in_a_run_that_is_used(models, tmp_path, record):
    """All lie in a trained run, which is then evaluated, exported and so on, to the end of each."""
    from PIL import Image

    work = tmp_path / "work"
    work.mkdir()
    training = runs.Training(tmp_path / "run", **_FLAGS)
    training.finish()
    Image.new("L", (8, 8), 128).save(tmp_path / "image.png")
    places = {"run": training.run_dir, "image": tmp_path / "image.png"}
    first, *others = (words.format(**places).split() for words in _USES)
    before, _ = _use(first, work)
    for model in models:
        for place in (training.run_dir, training.run_dir / "export" / "old"):
            _copy(model, place / model.name)
    shutil.copyfile(next(m for m in models if "Lambda" in m.name), training.run_dir / "model.keras")
    assert _use(first, work)[0] == before
    for words in others:
        _use(words, work)
    files = [str(model) for model in models if model.is_file()]
    _, said = _use(["trainer.predict", str(training.run_dir), *files], work, status=3)
    assert [said.count(file) for file in files] == [1] * len(files), said
    training.finish()
    assert not [path for path in tmp_path.rglob("*") if path.name == "pwned"]
    assert not [*work.iterdir()]
    record(hostile_model_files=len(models), code_runs=0, runs_used=1)


def _load_keras(path: Path) -> None:
    import keras

    keras.saving.load_model(path, safe_mode=False)


def _load_saved_model(path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.load(str(path))


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("a Lambda.keras", _load_keras),
        ("a Lambda of old.h5", _load_keras),
        ("a SavedModel that writes", _load_saved_model),
        ("a TFSMLayer.keras", _load_keras),
        ("a pickle.pkl", lambda path: pickle.loads(path.read_bytes())),
    ],
)
def test_loaded_without_care_it_does_harm(tf, models, name, load, tmp_path, monkeypatch):
    """Else the tests above would show nothing."""
    monkeypatch.chdir(tmp_path)
    load(next(model for model in models if model.name == name))
    assert (tmp_path / "pwned").exists()


def _copy(model: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path((shutil.copytree if model.is_dir() else shutil.copyfile)(model, path))


def _use(words: list[str], work: Path, status: int = 0) -> tuple[str, str]:
    """Returns what a command says, on standard output and on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=work, capture_output=True, text=True,
        env=runs.environment(), timeout=240,
    )  # fmt: skip
    assert done.returncode == status, f"{words[:2]}: {done.stderr[-300:]}"
    assert "1234" not in done.stdout + done.stderr
    return done.stdout, done.stderr
