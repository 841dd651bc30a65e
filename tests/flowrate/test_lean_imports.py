"""Packages that TensorFlow can do without are hidden while it is imported, and only then."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.lean_imports import without_optional_packages

ROOT = Path(__file__).resolve().parents[2]


def test_hidden_inside_and_back_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    with without_optional_packages(), pytest.raises(ImportError):
        importlib.import_module("matplotlib")
    assert "matplotlib" not in sys.modules
    assert importlib.import_module("matplotlib").__name__ == "matplotlib"


def test_what_is_imported_already_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", json)
    with without_optional_packages():
        assert importlib.import_module("pandas") is json
    assert sys.modules["pandas"] is json


def test_put_back_after_an_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    with pytest.raises(ZeroDivisionError), without_optional_packages():
        raise ZeroDivisionError
    assert "sklearn" not in sys.modules


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
