"""A run that goes on after its end is the run that was longer from the start, to the last bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from faults.tools.runs import curve, final_arrays

from flowrate.errors import RunDirError
from flowrate.records import read_json
from trainer.config import TrainConfig
from trainer.run_dir.same_run import asks_for_more, check_same_run

FOLDER = Path("/runs/mine")
PLAN = {"total_steps": 90, "num_train_examples": 1437}
DONE = {"global_step": 90, "planned_steps": 90}


def check(flags: dict, then: dict, result: dict | None = DONE, plan: dict = PLAN) -> str | None:
    before = TrainConfig(**flags).to_json()
    return check_same_run(TrainConfig(**{**flags, **then}), FOLDER, before, plan, result)


@pytest.mark.parametrize(
    ("flags", "then", "steps"),
    [
        ({"epochs": 2}, {"epochs": 4}, 180),
        ({"epochs": 2}, {"epochs": None, "steps": 91}, 91),
        ({"steps": 90}, {"steps": None}, 450),
        ({"epochs": 2, "warmup_steps": 20, "ema_decay": 0.9}, {"epochs": 3}, 135),
    ],
)
@pytest.mark.parametrize("result", [DONE, None, {"global_step": 90}])
def test_a_run_may_become_longer(flags, then, steps, result):
    assert (
        check(flags, then, result) == f"/runs/mine holds a run of 90 steps; it goes on to {steps}."
    )
    if result:
        assert asks_for_more(TrainConfig(**{**flags, **then}), PLAN, result)
        assert not asks_for_more(TrainConfig(**flags), PLAN, result)


def test_the_same_length_in_other_words_is_the_same_run():
    assert check({"epochs": 2}, {"epochs": None, "steps": 90}) is None


def test_a_worker_that_sees_the_longer_plan_first_trains_too():
    config = TrainConfig(epochs=4)
    assert asks_for_more(config, {**PLAN, "total_steps": 180}, DONE)


STOPPED = {"global_step": 45, "planned_steps": 90}


@pytest.mark.parametrize(
    ("flags", "then", "result", "words"),
    [
        ({"epochs": 2}, {"epochs": 1}, DONE, "--epochs=1: .* only be made longer, not 45;"),
        ({"steps": 90}, {"steps": 89}, None, "--steps=89: .* only be made longer"),
        ({"epochs": 2, "schedule": "cosine"}, {"epochs": 4}, DONE,
         "--epochs=4: .* to 180: its --schedule=cosine .* --weights=/runs/mine"),
        ({"epochs": 2, "validation_examples": 9, "early_stopping_patience": 3}, {"epochs": 4},
         STOPPED, "--epochs=4: .* --early_stopping_patience=3 ended it after step 45"),
        ({"epochs": 2}, {"epochs": 4, "seed": 3}, DONE, r"other flags: --seed=3 \(it has 0\)"),
    ],
)  # fmt: skip
def test_what_is_refused(flags, then, result, words):
    with pytest.raises(RunDirError, match=words):
        check(flags, then, result)


@pytest.mark.parametrize("plan", [{}, {"total_steps": 90}, {**PLAN, "num_train_examples": "x"}])
def test_without_a_plan_the_length_is_a_flag_like_others(plan):
    with pytest.raises(RunDirError, match=r"other flags: --epochs=4 \(it has 2\)"):
        check({"epochs": 2}, {"epochs": 4}, None, plan)
    assert not asks_for_more(TrainConfig(epochs=4), plan, DONE)


# Ends between log lines; within an epoch; where only the end asks for an evaluation, which is the
# best; and with averages, dropout and batches that straddle epochs. An epoch has 45 steps of 32.
LONGER = {
    "epochs": ({"epochs": 2}, {"epochs": 4}, {"log_every_steps": 7, "ema_decay": 0.9}),
    "steps": ({"steps": 50}, {"steps": 110}, {"log_every_steps": 7}),
    "evaluations": (
        {"steps": 50}, {"steps": 110},
        {"evaluate_every_steps": 40, "keep_checkpoints": 1, "checkpoint_every_steps": 1000,
         "log_every_steps": 10},
    ),
    "balance": (
        {"steps": 50}, {"steps": 110},
        {"balance": True, "gradient_accumulation": 2},
    ),
    "patience": (
        {"epochs": 3}, {"epochs": 30},
        {"validation_examples": 200, "early_stopping_patience": 4, "learning_rate": 0.03},
    ),
    "dropout": (
        {"steps": 25}, {"steps": 60},
        {"model": "flowers_cnn", "global_batch_size": 40, "warmup_steps": 40,
         "augmentation": "translation,cutout", "on_divergence": "rollback"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "then", "flags"), LONGER.values(), ids=LONGER.keys())
def test_it_is_the_run_that_was_longer_from_the_start(train, tmp_path, first, then, flags):
    flags = {"model": "mlp16", "deterministic": True, **flags}
    reference = train(**flags, **then)
    ended = train(run_dir=str(tmp_path / "run"), **flags, **first)
    assert ended.state.progress.step < reference.state.progress.step
    run = train(run_dir=str(tmp_path / "run"), **flags, **then)
    assert curve(run.run_dir.path) == curve(reference.run_dir.path)
    ours, theirs = final_arrays(run.run_dir.path), final_arrays(reference.run_dir.path)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, name)
    for name, array in reference.state.to_arrays().items():  # the best, with patience
        np.testing.assert_array_equal(run.state.to_arrays()[name], array, name)
    ours, theirs = run.state.progress, reference.state.progress
    assert dataclasses.replace(ours, counted_seconds=theirs.counted_seconds) == theirs
    assert run.state.progress.best["step"] in run.run_dir.checkpoints.steps()


def test_an_end_that_only_the_end_asked_for_stays_where_it_is_the_end(train, tmp_path):
    """The same command again finds its log line and its evaluation, and adds none."""
    flags = {"model": "mlp16", "steps": 50, "log_every_steps": 7, "run_dir": str(tmp_path / "run")}
    before = curve(train(**flags).run_dir.path)
    assert [row["step"] for row in before if "split" in row] == [45, 50]
    assert curve(train(**flags).run_dir.path) == before


def test_killed_on_the_way_it_goes_on(trainer_main, tmp_path):
    """Of the first end all is replaced; the records of the longer run are those of one go."""
    flags = ("--model=mlp16", "--deterministic", "--log_every_steps=7")
    assert trainer_main(*flags, "--steps=50", "--run_dir=run").returncode == 0
    first = {
        name: (tmp_path / "run" / name).read_bytes() for name in ("model.keras", "report.html")
    }
    longer = (*flags, "--steps=110", "--run_dir=run")
    killed = trainer_main(*longer, FLOWRATE_FAULT="finish:kill")
    assert killed.returncode < 0, killed.stderr
    assert read_json(tmp_path / "run" / "result.json")["global_step"] == 50
    done = trainer_main(*longer)
    assert done.returncode == 0, done.stderr
    assert trainer_main(*flags, "--steps=110", "--run_dir=whole").returncode == 0
    result, other = (read_json(tmp_path / name / "result.json") for name in ("run", "whole"))
    for name in ("global_step", "planned_steps", "train_loss", "test_loss", "best_evaluation"):
        assert result[name] == other[name], name
    assert result["num_starts"] == 3
    for name, content in first.items():
        assert (tmp_path / "run" / name).read_bytes() != content, name
    assert "complete already" in trainer_main(*longer).stdout
    refused = trainer_main(*flags, "--steps=50", "--run_dir=run")
    assert refused.returncode == 5
    assert "can only be made longer" in refused.stderr
