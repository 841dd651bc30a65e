"""A run that is stopped within a process, wherever that falls, ends as if it had not been.

Kills, signals, damage and other numbers of replicas are tried on real processes in tests/faults.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from faults.tools.runs import curve, final_arrays

from flowrate.errors import Preempted
from flowrate.records import read_json_lines
from flowrate.signals import StopRequest


class StopAt(StopRequest):
    """A stop request that comes true once the run has reached a step."""

    def __init__(self, step: int):
        super().__init__()
        self.signal_name = "SIGTERM"
        self.step = step
        self.progress = None

    def __bool__(self) -> bool:
        return self.progress is not None and self.progress.step >= self.step


def stopped_and_resumed(train, run_dir: Path, at: int, **flags):
    """Trains in two parts, the first ended by a signal after step `at`; returns the second run."""
    from trainer import loop

    stop = StopAt(at)
    original = loop.train_segment

    def watch(run, segment):
        stop.progress = run.state.progress
        original(run, segment)

    loop.train_segment = watch
    try:
        with pytest.raises(Preempted, match="preempted at step"):
            train(run_dir=str(run_dir), stop=stop, **flags)
    finally:
        loop.train_segment = original
    return train(run_dir=str(run_dir), **flags)


# Dropout and mixed targets, in parts of a balanced batch, each class with another weight.
WEIGHTED_PARTS = {
    "model": "flowers_cnn", "augmentation": "contrast,mixup", "balance": True,
    "class_weights": "weights.json", "gradient_accumulation": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({"model": "cnn", "jit": "on"}, marks=pytest.mark.slow),
        {"model": "cnn", "jit": "off"},
        WEIGHTED_PARTS,
    ],
    ids=str,
)
def test_resume_to_the_last_bit_with_xla_and_without(train, tmp_path, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)
    Path("weights.json").write_text(json.dumps({str(n): n + 0.5 for n in range(10)}))
    flags |= {"steps": 40, "steps_per_call": 6, "log_every_steps": 1, "deterministic": True}
    reference = train(**flags)
    run = stopped_and_resumed(train, tmp_path / "run", at=17, **flags)
    assert curve(run.run_dir.path) == curve(reference.run_dir.path)
    ours, theirs = final_arrays(run.run_dir.path), final_arrays(reference.run_dir.path)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], name)


@pytest.mark.slow
def test_resume_from_any_save_of_the_clock(train, tmp_path, monkeypatch):
    """Saves fall between any two calls, within epochs and between log lines."""
    from trainer.checkpoints.background import BackgroundSaver

    monkeypatch.setattr(BackgroundSaver, "is_due", lambda saver: True)
    flags = {
        "model": "mlp16", "steps": 120, "steps_per_call": 7, "log_every_steps": 10,
        "evaluate_every_steps": 50, "keep_checkpoints": 100, "ema_decay": 0.9,
        "deterministic": True,
    }  # fmt: skip
    reference = train(**flags)
    steps = reference.run_dir.checkpoints.steps()
    between = [step for step in steps if step % 50 and step % 10 and step < 120]
    assert len(between) >= 3  # On a busy machine a save is still under way when the next is due.
    for step in random.Random(1).sample(between, 3):
        run_dir = tmp_path / f"from-{step}"
        shutil.copytree(reference.run_dir.path, run_dir)
        for later in steps[steps.index(step) + 1 :]:
            shutil.rmtree(run_dir / "checkpoints" / f"ckpt-{later:08d}")
        run = train(run_dir=str(run_dir), **flags)
        assert curve(run_dir) == curve(reference.run_dir.path)
        ours, theirs = final_arrays(run_dir), final_arrays(reference.run_dir.path)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array, name)
        ours, theirs = run.state.progress, reference.state.progress
        assert dataclasses.replace(ours, counted_seconds=theirs.counted_seconds) == theirs


def test_by_the_clock_the_best_is_on_the_disk_whenever_one_tells_of_it(train, monkeypatch):
    """Killed after any save, a run finds the best weights that its progress names."""
    from trainer.checkpoints.background import BackgroundSaver
    from trainer.checkpoints.store import CheckpointStore

    seen, asked = [], itertools.count()
    original = CheckpointStore.save

    def save(store, arrays, progress):
        path = original(store, arrays, progress)
        best = progress.best and progress.best["step"]
        seen.append((progress.step, best, best is None or best in store.steps()))
        return path

    monkeypatch.setattr(CheckpointStore, "save", save)
    monkeypatch.setattr(BackgroundSaver, "is_due", lambda saver: next(asked) % 7 == 0)
    run = train(
        model="mlp16", steps=2000, evaluate_every_steps=20, keep_checkpoints=1,
        validation_examples=200,
    )  # fmt: skip
    assert all(is_there for _, _, is_there in seen)
    assert seen[-1][0] == 2000
    # Some were held until a later save; none was written for its own sake.
    assert any(best < step for step, best, _ in seen if best)
    assert len(seen) <= 2 * (next(asked) // 7 + 2)
    assert run.state.progress.best["step"] in run.run_dir.checkpoints.steps()


def test_stopped_during_an_evaluation(train, tmp_path):
    """The evaluation that was broken off is made up for: the curve has every row."""
    from trainer import loop

    flags = {"model": "mlp16", "steps": 40, "evaluate_every_steps": 20, "log_every_steps": 10}
    reference = train(**flags)
    stop = StopRequest()
    original = loop._evaluate

    def signal_comes(run):
        stop.signal_name = "SIGTERM"
        return original(run)

    loop._evaluate = signal_comes
    try:
        with pytest.raises(Preempted, match="preempted at step 20, saved"):
            train(run_dir=str(tmp_path / "run"), stop=stop, **flags)
    finally:
        loop._evaluate = original
    assert all(
        row["kind"] != "evaluation" for row in read_json_lines(tmp_path / "run/metrics.jsonl")
    )
    train(run_dir=str(tmp_path / "run"), **flags)
    assert curve(tmp_path / "run") == curve(reference.run_dir.path)


def test_early_stopping_goes_back_to_the_best_weights(train, tmp_path):
    run = train(
        model="mlp16", epochs=40, validation_examples=200, early_stopping_patience=2,
        learning_rate=0.03,
    )  # fmt: skip
    progress = run.state.progress
    assert progress.step < run.plan.total_steps
    assert progress.evaluations_since_best == 2
    found = run.evaluator(run.sources["validation"])
    assert found["accuracy"] == progress.best["accuracy"]
    assert found["loss"] == progress.best["loss"]
    kept = json.loads((run.run_dir.path / "config.json").read_text())["keep_checkpoints"]
    assert len(run.run_dir.checkpoints.steps()) <= 2 * kept  # each, and its best
    assert progress.best["step"] in run.run_dir.checkpoints.steps()
