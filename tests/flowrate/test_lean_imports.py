"""Packages that TensorFlow can do without are hidden from it, and from nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_IMPORTS = "import sys\nfrom flowrate.lean_imports import without_optional_packages\n"


@pytest.fixture
def stand_in(tmp_path):
    """Returns a function: runs code where TensorFlow is a file with the code given, first on the
    path, and returns what it printed.

    In a process of its own: where TensorFlow is loaded already it cannot be taken out of
    `sys.modules`, not even for a moment, since any import inside it (another thread's, one in a
    function) would then load its native code a second time, which ends the process.
    """
    (tmp_path / "pandas.py").write_text("")

    def run(tensorflow: str, code: str) -> str:
        (tmp_path / "tensorflow.py").write_text(tensorflow)
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTS + code],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_hidden_from_tensorflow_and_from_nobody_else(stand_in):
    printed = stand_in(
        "try:\n    import pandas\nexcept ImportError:\n    pandas = None\n",
        "before = list(sys.meta_path)\n"
        "with without_optional_packages():\n"
        "    import tensorflow\n"
        # As a file of a user's data set or model might, once TensorFlow is there.
        "    import pandas\n"
        "print(tensorflow.pandas, pandas.__name__, sys.meta_path == before)\n",
    )
    assert printed == "None pandas True\n"


def test_a_run_imports_none_of_them(tmp_path):
    code = (
        "import json, sys\n"
        "from trainer.main import main\n"
        f"flags = ['--steps=2', '--noreport', '--run_dir={tmp_path / 'run'}']\n"
        "status = main(['trainer.main', *flags])\n"
        "names = ('jax', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'tensorflow')\n"
        "print(json.dumps([status, [name for name in names if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, ["tensorflow"]], done.stderr
