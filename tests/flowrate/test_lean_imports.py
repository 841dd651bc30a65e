"""Packages that TensorFlow can do without are hidden from it, and from nobody else."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.lean_imports import without_optional_packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Returns a function: puts a package under TensorFlow's name, with this code, in its place."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    (tmp_path / "pandas.py").write_text("")

    def write(code: str) -> None:
        (tmp_path / "tensorflow.py").write_text(code)

    yield write
    sys.modules.pop("tensorflow", None)
    sys.modules.pop("pandas", None)


def test_hidden_from_tensorflow_and_from_nobody_else(stand_in):
    stand_in("try:\n    import pandas\nexcept ImportError:\n    pandas = None\n")
    before = list(sys.meta_path)
    with without_optional_packages():
        assert importlib.import_module("tensorflow").pandas is None
        # As a file of a user's data set or model might, once TensorFlow is there.
        assert importlib.import_module("pandas").__name__ == "pandas"
    assert sys.meta_path == before


def test_what_is_imported_already_stays(stand_in):
    stand_in("import pandas")
    pandas = importlib.import_module("pandas")
    with without_optional_packages():
        assert importlib.import_module("tensorflow").pandas is pandas


def test_put_back_after_an_error():
    before = list(sys.meta_path)
    with pytest.raises(ZeroDivisionError), without_optional_packages():
        raise ZeroDivisionError
    assert sys.meta_path == before


def test_a_run_imports_none_of_them(tmp_path):
    code = (
        "import json, sys\n"
        "from trainer.main import main\n"
        f"status = main(['trainer.main', '--steps=2', '--run_dir={tmp_path / 'run'}'])\n"
        "names = ('jax', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'tensorflow')\n"
        "print(json.dumps([status, [name for name in names if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, ["tensorflow"]], done.stderr
