"""What of a run directory is never read, and a plan that asks for another model.

Run directories made to do harm are tried on every command in tests/faults.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.records import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """A run whose model.keras, which may hold code, makes whoever opens it wait for ever."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    done = call(
        "trainer.main", "--model=mlp16", "--steps=5", "--noreport", f"--run_dir={folder}"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "model.keras").unlink()
    os.mkfifo(folder / "model.keras")
    return folder


@pytest.mark.slow
def test_a_model_file_is_not_read(run_dir):
    done = call("trainer.evaluate", str(run_dir))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "facts",
    [{"image_shape": [8192, 8192, 3], "model": "mlp"}, {"model": "resnet18"},
     {"class_names": [f"{i}" for i in range(500_000)]}],
    ids=["a huge image", "another model", "many classes"],
)  # fmt: skip
def test_a_plan_that_asks_for_another_model(run_dir, facts):
    before = read_json(run_dir / "plan.json")
    write_json(run_dir / "plan.json", before | {"data": before["data"] | facts})
    done = call("trainer.evaluate", str(run_dir))
    write_json(run_dir / "plan.json", before)
    # Another number of classes, or size of images, is found when the data set is loaded.
    assert done.returncode in (3, 5), done.stderr
    assert len(done.stderr.splitlines()) == 1
