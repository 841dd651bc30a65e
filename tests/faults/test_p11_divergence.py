"""P11: training that goes wrong: a loss, a gradient, a weight that is no finite number.

With a decay of 1 and a high learning rate, weights grow by the same factor with each step, until a
number overflows: late enough for checkpoints to be there, and early enough to wait for.
"""

from __future__ import annotations

import shutil
from typing import Any
from unittest import mock

import numpy as np
import pytest
from faults.tools import runs
from faults.tools.sizes import SEED, sized

from flowrate.errors import DivergedError
from flowrate.failpoint import VARIABLE
from flowrate.records import read_json
from trainer.checkpoints import store as checkpoints

pytestmark = pytest.mark.slow
_FLAGS = {
    "dataset": "digits", "model": "mlp", "log_every_steps": 1, "steps": 300, "report": False,
    "checkpoint_every_steps": 2, "keep_checkpoints": 200,
}  # fmt: skip
_GROWING = {**_FLAGS, "optimizer": "sgd", "weight_decay": 1.0, "learning_rate": 2.5}
_TWO_REPLICAS = {"strategy": "mirrored", "virtual_devices": 2}
_TWO_WORKERS = ("--workers=2",)
_ROLLBACK = {
    **_GROWING, "on_divergence": "rollback", "checkpoint_every_steps": 10, "steps_per_call": 5
}  # fmt: skip


_DIVERGING: dict[str, dict[str, Any]] = {
    "with_xla": {"jit": "on", "seed": SEED},
    "debug_nan": {"debug_nan": True},
    "without_xla": {"jit": "off", "seed": SEED + 1},
    "convolutions": {"model": "cnn", "jit": "off", "learning_rate": 2.1},
    "two_replicas": _TWO_REPLICAS,
    "float16": {"precision": "mixed_float16", "jit": "off"},
    "adam": {"optimizer": "adam", "weight_decay": 0.0, "learning_rate": 1e30},
    "lamb": {"optimizer": "lamb", "learning_rate": 1e30},
    "from_the_host": {"cache": "memory", "global_batch_size": 7},
    "two_workers": {"launcher": _TWO_WORKERS},
}


@pytest.mark.parametrize("name", sized(list(_DIVERGING)[:2], list(_DIVERGING)))
def test_it_stops_with_the_step(name, tmp_path, record):
    flags = {**_GROWING, **_DIVERGING[name]}
    training = runs.Training(tmp_path / "run", **flags)
    found = _diverge(training)
    finite = [row["step"] for row in training.rows("train")]
    is_state = found["what"] == "state"  # After the step, whose loss was finite.
    last = found["step"] if is_state else found["step"] - 1
    assert finite == list(range(1, last + 1)), f"found at {found['step']}"
    num_examples = 0 if is_state else flags.get("global_batch_size", 32)
    assert len(found.get("examples", [])) == num_examples, "not the whole batch"
    for path in training.checkpoints()[-1:]:
        assert f"{path.name} is kept." in training.said()
    # The first step that is not finite follows the last that is.
    record(most_steps_to_stop=found["step"] - len(finite), checkpoints=_check_checkpoints(training))


def test_infinity_in_an_averaged_weight(tmp_path, record):
    """No loss depends on it; a checkpoint holds it."""
    flags = {**_FLAGS, "ema_decay": 0.9, "checkpoint_every_steps": 100}
    training = runs.Training(tmp_path / "run", **flags)
    training.finish()
    store = checkpoints.CheckpointStore(training.run_dir / "checkpoints", 9, lambda line: None)
    damaged = store.read(100)
    (training.run_dir / "result.json").unlink()
    shutil.rmtree(training.run_dir / "checkpoints")
    name = max(name for name in damaged.arrays if name.endswith("_average"))
    damaged.arrays[name][...] = np.inf
    with mock.patch.object(checkpoints, "check_finite"):
        store.save(damaged.arrays, damaged.progress)
    found = _diverge(training)
    assert found.get("variables") == [name], f"named {found.get('variables')}, not {name}"
    assert store.steps() == [100], f"saved {store.steps()} after it"
    record(most_steps_to_stop=found["step"] - 100)


def _diverge(training: runs.Training) -> dict[str, Any]:
    ended = training.run()
    assert ended.exit_code == DivergedError.exit_code, f"{ended.exit_code}: {ended.last_line}"
    assert "Traceback" not in ended.stderr, "a traceback was shown"
    found = read_json(training.run_dir / "divergence.json")
    assert f"step {found['step']}" in training.said(), f"the step is not told: {ended.last_line}"
    assert read_json(training.run_dir / "result.json")["status"] == "diverged", "no result"
    return found


_ROLLING_BACK = [_TWO_REPLICAS, {"jit": "on"}, {"launcher": _TWO_WORKERS}]


@pytest.mark.parametrize("options", sized(_ROLLING_BACK[:1], _ROLLING_BACK))
def test_it_rolls_back(options, tmp_path, record):
    flags = {**_ROLLBACK, **options}
    training = runs.Training(tmp_path / "run", **flags)
    training.finish()
    (row,) = training.rows("rollback")
    lost = row["diverged_after_step"] - row["step"]
    assert 0 <= lost <= flags["checkpoint_every_steps"], f"went back {lost} steps"
    steps = [row["step"] for row in training.rows("train")]
    assert steps == list(range(1, flags["steps"] + 1)), "a step is logged twice or not at all"
    record(rollbacks=1, checkpoints=_check_checkpoints(training))


def test_killed_in_the_steps_after_a_rollback(tmp_path, record):
    """They are not saved yet."""
    training = runs.Training(tmp_path / "run", environment={VARIABLE: "step:9:kill"}, **_ROLLBACK)
    training.run()
    assert training.rows("rollback"), "killed before it was rolled back"
    again = runs.Training(tmp_path / "run", **_ROLLBACK)
    again.finish()
    runs.check_same_run(again.run_dir, runs.reference(**_ROLLBACK))
    assert len(again.rows("rollback")) == 1, "the rollback is noted twice"
    record(rollbacks=1, kills=1, checkpoints=_check_checkpoints(again))


def _check_checkpoints(training: runs.Training) -> int:
    """Checks that all checkpoints there are hold finite numbers; returns how many those are."""
    for path in training.checkpoints():
        with np.load(path / "arrays.npz", allow_pickle=False) as archive:
            for name, array in archive.items():
                assert np.isfinite(array).all(), f"{path.name}: {name} is not finite"
    return len(training.checkpoints())
