"""Going back to the last checkpoint with half the learning rate."""

from __future__ import annotations

import pytest

from flowrate.errors import DivergedError
from flowrate.records import read_json_lines

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
