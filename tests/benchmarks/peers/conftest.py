"""The digits of scikit-learn as peers read them, and a peer as a real process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import digits

ROOT = Path(__file__).resolve().parents[3]
# What models/ has at 28 x 28 x 1 and ten classes, and at 180 x 180 x 3 and five.
NUM_PARAMETERS = {
    "mlp": 101_770, "mlp16": 13_002, "mlp64": 55_050, "cnn": 93_322, "cnn5x5": 279_850,
    "flowers_cnn": 3_989_285,
}  # fmt: skip
FIELDS = {"segments", "test_accuracy", "train_loss", "num_parameters", "phases"}


@dataclasses.dataclass(frozen=True)
class Ended:
    status: int
    errors: list[str]
    record: dict | None


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    arrays = {"class_names": np.array(digits.INFO.class_names)}
    for split, source in digits.load(LoadOptions()).items():
        arrays |= {f"{split}_images": source.images, f"{split}_labels": source.labels}
    path = tmp_path_factory.mktemp("peers") / "digits.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def run_peer(tmp_path):
    """Returns a function that runs `python -m benchmarks.peers.NAME`."""

    def run(name: str, *flags: str, environment: dict[str, str] | None = None) -> Ended:
        output = tmp_path / "peer.json"
        command = [sys.executable, "-m", f"benchmarks.peers.{name}", f"--output={output}", *flags]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=240,
            # Threads that wait for each other in a loop come to nothing on a machine that is busy.
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )  # fmt: skip
        record = json.loads(output.read_text()) if output.exists() else None
        return Ended(done.returncode, done.stderr.splitlines(), record)

    return run


@pytest.fixture
def check_record():
    """Returns a function that holds a record of the digits to what every peer promises."""

    def check(ended: Ended, epochs: int, num_parameters: int) -> None:
        assert ended.status == 0, ended.errors
        record = ended.record
        assert record.keys() == FIELDS
        # 1,437 examples are 44 whole batches of 32 and one of 29: none is dropped.
        assert [num_steps for num_steps, _ in record["segments"]] == [45] * epochs
        assert sum(seconds for _, seconds in record["segments"]) <= record["phases"]["train"]
        assert {"import", "data", "build", "train", "evaluate"} <= record["phases"].keys()
        assert all(seconds >= 0 for seconds in record["phases"].values())
        # The share of 360 is exact where every test example counts once.
        assert record["test_accuracy"] * 360 == pytest.approx(
            round(record["test_accuracy"] * 360), abs=1e-3
        )
        assert record["test_accuracy"] > 0.9
        assert record["num_parameters"] == num_parameters

    return check


@pytest.fixture(params=NUM_PARAMETERS)
def network(request):
    """(name, number of classes, image shape, parameters) of each network of models/."""
    shape, num_classes = ((180, 180, 3), 5) if request.param == "flowers_cnn" else ((28, 28, 1), 10)
    return request.param, num_classes, shape, NUM_PARAMETERS[request.param]


@pytest.fixture
def digits_parameters(tf):
    """How many parameters Flowrate's own model has at 8 x 8 x 1 and ten classes."""

    def count(name: str) -> int:
        from models import MODELS

        return MODELS.load(name)[0].build_model(10, (8, 8, 1)).count_params()

    return count
