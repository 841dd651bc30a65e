"""The doctor as a process, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Examined:
    """What a run of the doctor with `--json` said.

    Attributes:
        status: its exit status.
        record: the JSON.
        errors: its standard error.
    """

    def __init__(self, done: subprocess.CompletedProcess):
        self.status, self.errors = done.returncode, done.stderr
        assert done.stdout, done.stderr
        self.record = json.loads(done.stdout)
        self.checks = {(each["section"], each["name"]): each for each in self.record["checks"]}

    def __getitem__(self, key: tuple[str, str]) -> dict:
        return self.checks[key]


@pytest.fixture(scope="session")
def run_doctor():
    """Returns a function that runs `python -m trainer.doctor`; a variable that is None is unset."""

    def run(*flags: str, python: str = sys.executable, **variables: str | None):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        return subprocess.run(
            [python, "-m", "trainer.doctor", *flags],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280,
            env={name: value for name, value in environment.items() if value is not None},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def examine(run_doctor):
    """Returns a function that runs it without probes, and reads what it says."""

    def run(*flags: str, **options) -> Examined:
        return Examined(run_doctor("--probe=none", "--json", *flags, **options))

    return run


@pytest.fixture
def bare_python(tmp_path):
    """Returns a function: the Python of a new virtual environment with these distributions only."""
    import importlib.metadata

    def make(*names: str) -> str:
        folder = tmp_path / "venv"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120
        )
        (packages,) = folder.glob("lib/python*/site-packages")
        for name in names:
            distribution = importlib.metadata.distribution(name)
            tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
            for top in tops:
                (packages / top).symlink_to(distribution.locate_file(top))
        return str(folder / "bin" / "python")

    return make
