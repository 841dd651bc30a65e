"""Runs to export: small, of the digits that scikit-learn brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run_module(module: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module words...` as a user does."""
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, capture_output=True, text=True,
        timeout=280, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="session")
def run_program():
    """The function above."""
    return run_module


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Returns a function: the run directory of a model, trained once for all tests."""
    folders = {}

    def train(model: str, *flags: str) -> Path:
        key = (model, *flags)
        if key not in folders:
            folder = tmp_path_factory.mktemp("export") / "run"
            done = run_module(
                "trainer.main", f"--model={model}", "--steps=90", "--global_batch_size=64",
                "--learning_rate=0.005", "--report=false", f"--run_dir={folder}", *flags,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            folders[key] = folder
        return folders[key]

    return train
