"""Training that goes wrong: a loss, a gradient, a weight that is no finite number.

With a decay of 1 and a high learning rate, weights grow by the same factor with each step, until a
number overflows: late enough for checkpoints to be there, and early enough to wait for.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.errors import DivergedError
from flowrate.failpoint import VARIABLE
from flowrate.records import read_json
from trainer.checkpoints import store as checkpoints

ID = "P11"
TITLE = "training that goes wrong stops within 50 steps; no checkpoint holds a number not finite"

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


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns divergences that are stopped and rolled back: 3, or 15."""
    growing: dict[str, dict[str, Any]] = {
        "a dense model, with XLA": {"jit": "on", "seed": seed},
        "a dense model, without XLA": {"jit": "off", "seed": seed + 1},
        "each operation checked": {"debug_nan": True},
        "convolutions": {"model": "cnn", "jit": "off", "learning_rate": 2.1},
        "two replicas": _TWO_REPLICAS,
        "float16": {"precision": "mixed_float16", "jit": "off"},
        "adam, at a rate of 1e30": {
            "optimizer": "adam",
            "weight_decay": 0.0,
            "learning_rate": 1e30,
        },
        "lamb, at a rate of 1e30": {"optimizer": "lamb", "learning_rate": 1e30},
        "the input from the host": {"cache": "memory", "global_batch_size": 7},
    }
    found = [
        Attempt(name, functools.partial(_stopped, flags={**_GROWING, **flags}), index == 0)
        for index, (name, flags) in enumerate(growing.items())
    ]
    rolled_back = Attempt("rolled back, two replicas", _rolling_back(**_TWO_REPLICAS))
    if not full:
        return [found[0], found[2], rolled_back]
    return [
        *found,
        Attempt("two workers", functools.partial(_stopped, flags=_GROWING, launcher=_TWO_WORKERS)),
        Attempt("infinity in an averaged weight", _with_infinity),
        rolled_back,
        Attempt("rolled back, with XLA", _rolling_back(jit="on")),
        Attempt("rolled back, two workers", _rolling_back(_TWO_WORKERS)),
        Attempt("killed after it was rolled back", _killed),
    ]


def _stopped(
    folder: Path, flags: dict[str, Any], launcher: tuple[str, ...] = ()
) -> dict[str, float]:
    training = _runs.Training(folder / "run", launcher=launcher, **flags)
    found = _diverge(training)
    finite = [row["step"] for row in training.rows("train")]
    is_state = found["what"] == "state"  # After the step, whose loss was finite.
    last = found["step"] if is_state else found["step"] - 1
    check(finite == list(range(1, last + 1)), f"logged {finite}, found at {found['step']}")
    num_examples = 0 if is_state else flags.get("global_batch_size", 32)
    check(len(found.get("examples", [])) == num_examples, "not the whole batch")
    # The first step that is not finite follows the last that is.
    return {
        "most_steps_to_stop": found["step"] - len(finite),
        "checkpoints": _check_checkpoints(training),
    }


def _with_infinity(folder: Path) -> dict[str, float]:
    """Goes on from a checkpoint with infinity in what no loss depends on."""
    flags = {**_FLAGS, "ema_decay": 0.9, "checkpoint_every_steps": 100}
    training = _runs.Training(folder / "run", **flags)
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
    check(found.get("variables") == [name], f"named {found.get('variables')}, not {name}")
    check(store.steps() == [100], f"saved {store.steps()} after it")
    return {"most_steps_to_stop": found["step"] - 100}


def _diverge(training: _runs.Training) -> dict[str, Any]:
    ended = training.run()
    check(ended.exit_code == DivergedError.exit_code, f"{ended.exit_code}: {ended.last_line}")
    check("Traceback" not in ended.stderr, "a traceback was shown")
    found = read_json(training.run_dir / "divergence.json")
    check(f"step {found['step']}" in training.said(), f"the step is not told: {ended.last_line}")
    check(read_json(training.run_dir / "result.json")["status"] == "diverged", "no result")
    return found


def _rolling_back(launcher: tuple[str, ...] = (), **flags: Any) -> Callable:
    return functools.partial(_rolled_back, flags={**_ROLLBACK, **flags}, launcher=launcher)


def _rolled_back(
    folder: Path, flags: dict[str, Any], launcher: tuple[str, ...]
) -> dict[str, float]:
    training = _runs.Training(folder / "run", launcher=launcher, **flags)
    training.finish()
    (row,) = training.rows("rollback")
    lost = row["diverged_after_step"] - row["step"]
    check(0 <= lost <= flags["checkpoint_every_steps"], f"went back {lost} steps")
    steps = [row["step"] for row in training.rows("train")]
    check(steps == list(range(1, flags["steps"] + 1)), "a step is logged twice or not at all")
    return {"rollbacks": 1, "checkpoints": _check_checkpoints(training)}


def _killed(folder: Path) -> dict[str, float]:
    """Killed within the steps that follow a rollback, before they are saved."""
    training = _runs.Training(folder / "run", environment={VARIABLE: "step:9:kill"}, **_ROLLBACK)
    training.run()
    check(training.rows("rollback"), "killed before it was rolled back")
    again = _runs.Training(folder / "run", **_ROLLBACK)
    again.finish()
    _runs.check_same_run(again.run_dir, _runs.reference(**_ROLLBACK))
    check(len(again.rows("rollback")) == 1, "the rollback is noted twice")
    return {"rollbacks": 1, "kills": 1, "checkpoints": _check_checkpoints(again)}


def _check_checkpoints(training: _runs.Training) -> int:
    """Checks that all checkpoints there are hold finite numbers; returns how many those are."""
    for path in training.checkpoints():
        with np.load(path / "arrays.npz", allow_pickle=False) as archive:
            for name, array in archive.items():
                check(np.isfinite(array).all(), f"{path.name}: {name} is not finite")
    return len(training.checkpoints())
