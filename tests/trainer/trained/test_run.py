"""Run directories read back: what a run writes is taken, anything else is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flowrate.errors import ConfigError, RunDirError
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import CheckpointStore
from trainer.config import TrainConfig
from trainer.trained.run import TrainedRun

FACTS = {
    "class_names": ["cat", "dog"], "image_shape": [8, 8, 1], "model": "mlp",
    "precision": "float32", "examples": {"train": 10, "test": 2}, "augmentation": [],
}  # fmt: skip
PLAN = {"total_steps": 20, "data": FACTS}


@pytest.fixture
def write(tmp_path):
    def write(plan=PLAN, **config):
        asked = {**TrainConfig().to_json(), **config}
        (tmp_path / "config.json").write_text(json.dumps(asked))
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        return tmp_path

    return write


def save(folder, step: int, best: int | None = None) -> None:
    progress = Progress(step=step)
    progress.best = {"step": best, "accuracy": 0.5} if best else None
    store = CheckpointStore(folder / "checkpoints", keep=9, tell=print)
    store.save({"model/0000/w": np.full(3, step, np.float32)}, progress)


def test_what_a_run_has_written(write):
    found = TrainedRun.open(write(seed=4))
    assert (found.model, found.image_shape, found.total_steps) == ("mlp", (8, 8, 1), 20)
    assert (found.class_names, found.config.seed, found.result) == (("cat", "dog"), 4, {})


@pytest.mark.parametrize(
    ("which", "patience", "step"),
    [("final", 0, 30), ("final", 2, 20), ("best", 0, 20), ("latest", 2, 30), ("10", 0, 10)],
)
def test_the_checkpoint_asked_for(write, which, patience, step):
    folder = write(early_stopping_patience=patience)
    for number in (10, 20, 30):
        save(folder, number, best=20)
    assert TrainedRun.open(folder).checkpoint(which).progress.step == step


def test_a_checkpoint_that_is_not_there(write):
    folder = write()
    with pytest.raises(RunDirError, match="holds no checkpoint; train it first"):
        TrainedRun.open(folder).checkpoint()
    save(folder, 10)
    with pytest.raises(ConfigError, match=r"--checkpoint=11: .* has steps 10"):
        TrainedRun.open(folder).checkpoint("11")


def test_a_damaged_checkpoint_is_named_and_left_as_it_is(write):
    folder = write()
    save(folder, 10)
    path = folder / "checkpoints" / "ckpt-00000010" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunDirError, match=r"ckpt-00000010 damaged: arrays\.npz"):
        TrainedRun.open(folder).checkpoint()
    assert path.exists()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunDirError, match=r"holds no run: config\.json is missing"):
        TrainedRun.open(tmp_path)


def changed(**facts):
    return {**PLAN, "data": {**FACTS, **facts}}


HOSTILE = {
    "no facts": {"total_steps": 20},
    "steps as text": {**PLAN, "total_steps": "20"},
    "one class": changed(class_names=["cat"]),
    "numbers for names": changed(class_names=[1, 2]),
    "two sides": changed(image_shape=[8, 8]),
    "an image of a terabyte": changed(image_shape=[2**20, 2**20, 1]),
    "a negative side": changed(image_shape=[-8, 8, 1]),
    "a model elsewhere": changed(model="../../evil"),
    "a model of another package": changed(model="os"),
    "a precision that is none": changed(precision="exec"),
}


@pytest.mark.parametrize("plan", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_plans_are_refused(write, plan):
    with pytest.raises(RunDirError, match=r"(plan|config)\.json"):
        TrainedRun.open(write(plan))


@pytest.mark.parametrize(
    "config",
    [{"dataset": "no_such"}, {"__class__": "os.system"}, {"seed": "import os"}, {"epochs": -1}],
    ids=str,
)
def test_hostile_configs_are_refused(write, config):
    with pytest.raises(RunDirError, match=r"config\.json"):
        TrainedRun.open(write(**config))
