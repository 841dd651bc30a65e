"""Going back to the last checkpoint with half the learning rate."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.faults._runs import curve
from flowrate.errors import DivergedError, Preempted
from flowrate.records import read_json_lines
from flowrate.signals import StopRequest

# With this decay each step makes the weights half as large again; with half the rate, smaller.
GROWING = {
    "optimizer": "sgd", "weight_decay": 1.0, "learning_rate": 2.5, "model": "mlp", "steps": 90,
    "log_every_steps": 3, "on_divergence": "rollback",
}  # fmt: skip
SETTINGS = [
    {"jit": "on"},
    {"jit": "off", "cache": "none"},
    {"strategy": "mirrored", "virtual_devices": 2},
]


def rows_of(run_dir, kind):
    return [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == kind]


@pytest.mark.parametrize("flags", SETTINGS, ids=str)
def test_it_goes_on_with_half_the_rate(train, tmp_path, flags):
    run = train(
        **GROWING, **flags, checkpoint_every_steps=10, keep_checkpoints=99,
        run_dir=str(tmp_path / "run"),
    )  # fmt: skip
    assert run.state.progress.step == 90
    assert run.state.progress.num_rollbacks == 1
    (rollback,) = rows_of(tmp_path / "run", "rollback")
    assert rollback["learning_rate_factor"] == 0.5
    assert rollback["step"] == rollback["diverged_after_step"] // 10 * 10
    logged = rows_of(tmp_path / "run", "train")
    assert [row["step"] for row in logged] == list(range(3, 91, 3))
    for row in logged:
        is_before = row["step"] <= rollback["step"]
        assert row["learning_rate"] == (2.5 if is_before else 1.25)
    # The loop was compiled once.
    assert run.engine._train_steps.experimental_get_tracing_count() == 1


def test_after_it_the_examples_are_those_of_an_undisturbed_run(train, tmp_path):
    """Half of a rate that diverges, from the start, is the same as that rate."""
    # Not by the clock: on a busy machine a save would fall between the beginning and the end.
    flags = {**GROWING, "checkpoint_every_steps": 90}
    run = train(**flags | {"learning_rate": 5.0}, max_rollbacks=2, run_dir=str(tmp_path / "run"))
    assert run.state.progress.num_rollbacks == 2
    train(**flags | {"learning_rate": 1.25}, run_dir=str(tmp_path / "plain"))
    assert [row["step"] for row in rows_of(tmp_path / "run", "rollback")] == [0, 0]
    for kind in ("train", "evaluation"):
        for row, plain in zip(rows_of(tmp_path / "run", kind), rows_of(tmp_path / "plain", kind)):
            assert row["loss"] == plain["loss"]


def test_the_third_time_it_stops(train, tmp_path):
    with pytest.raises(DivergedError, match="The learning rate was halved --max_rollbacks=2 times"):
        train(**{**GROWING, "learning_rate": 1e30}, max_rollbacks=2, run_dir=str(tmp_path / "run"))
    factors = [row["learning_rate_factor"] for row in rows_of(tmp_path / "run", "rollback")]
    assert factors == [0.5, 0.25]


class StopAfterRollback(StopRequest):
    """A stop request that comes true some steps after the run has gone back."""

    signal_name = "SIGTERM"

    def __init__(self, run_dir):
        super().__init__()
        self.signal_name = "SIGTERM"
        self.run_dir = run_dir

    def __bool__(self) -> bool:
        rows = read_json_lines(self.run_dir / "metrics.jsonl")
        return rows[-2:-1] != [] and rows[-2]["kind"] == "rollback"


@pytest.mark.slow
def test_a_run_that_is_stopped_and_goes_on_rolls_back_once(train, tmp_path):
    flags = {**GROWING, "checkpoint_every_steps": 10, "steps_per_call": 1}
    undisturbed = train(**flags, run_dir=str(tmp_path / "undisturbed"))
    (rollback,) = rows_of(tmp_path / "undisturbed", "rollback")
    run_dir = tmp_path / "run"
    with pytest.raises(Preempted):
        train(**flags, stop=StopAfterRollback(run_dir), run_dir=str(run_dir))
    run = train(**flags, run_dir=str(run_dir))
    assert rows_of(run_dir, "rollback") == [rollback]
    assert curve(run_dir) == curve(tmp_path / "undisturbed")
    arrays, expected = run.state.to_arrays(), undisturbed.state.to_arrays()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
