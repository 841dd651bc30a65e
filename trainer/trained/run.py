"""A trained run, read back: its model is rebuilt from config.json and filled from a checkpoint.

Nothing in the folder is executed: config.json passes the checks of a command line, plan.json those
below, and weights are plain arrays. No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrate.errors import ConfigError, FlowrateError, RunDirError
from flowrate.records import read_json
from models import MODELS
from trainer.checkpoints.store import Checkpoint, CheckpointStore
from trainer.config import TrainConfig
from trainer.run_dir.plain_files import check_contents

# Of the weights that result.json tells of.
FINAL, BEST, LATEST = "final", "best", "latest"
_MOST_CLASSES = 1_000_000
_MOST_VALUES = 2**28


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run directory that holds a trained model.

    Attributes:
        path: the folder.
        config: what was asked for, `precision` as it was chosen.
        model: the model's name, `auto` resolved.
        class_names: in label order.
        image_shape: (height, width, channels) that the model takes.
        total_steps: as planned.
        result: result.json; empty where the run has not ended.
        unfreeze_step: as planned; see TrainPlan.
    """

    path: Path
    config: TrainConfig
    model: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    total_steps: int
    result: dict[str, Any]
    unfreeze_step: int = 0

    @classmethod
    def open(cls, folder: str | Path) -> TrainedRun:
        """Reads and checks the records of a run.

        Raises:
            RunDirError: it is no run directory, or what it holds is not what a run writes.
        """
        path = Path(folder).expanduser().absolute()
        if os.path.lexists(path / "config.json"):
            check_contents(path)
        # Path.is_file raises where a name is too long.
        if not os.path.isfile(path / "config.json"):
            raise RunDirError(
                f"{path} holds no run: config.json is missing; give a folder that training made."
            )
        asked, plan = read_object(path / "config.json"), read_object(path / "plan.json")
        _check_facts(path / "plan.json", plan)
        facts = plan["data"]
        fields = {field.name for field in dataclasses.fields(TrainConfig)}
        if unknown := sorted(asked.keys() - fields):
            raise RunDirError(f"{path / 'config.json'}: this program has no flag {unknown[0]}.")
        try:
            MODELS.check(facts["model"])
            config = TrainConfig(**{**asked, "precision": facts["precision"]})
        except FlowrateError as error:
            raise RunDirError(f"{path / 'config.json'}: {error}") from None
        result = path / "result.json"
        return cls(
            path=path,
            config=config,
            model=facts["model"],
            class_names=tuple(facts["class_names"]),
            image_shape=tuple(facts["image_shape"]),
            total_steps=plan["total_steps"],
            unfreeze_step=plan.get("unfreeze_step", 0),
            result=read_object(result) if result.exists() else {},
        )

    def checkpoint(self, which: str = FINAL) -> Checkpoint:
        """Reads a checkpoint.

        Args:
            which: final (what result.json tells of: the best with early stopping, else the
                latest), best (of the evaluations), latest, or a step.

        Raises:
            ConfigError: there is none of that step, or no such word.
            RunDirError: there is none at all, or it is damaged.
        """
        store = CheckpointStore(self.path / "checkpoints", keep=1, tell=lambda line: None)
        steps = store.steps()
        if not steps:
            raise RunDirError(f"{self.path} holds no checkpoint; train it first.")
        if which.isdecimal():
            if int(which) not in steps:
                raise ConfigError(
                    f"--checkpoint={which}: {self.path} has steps {', '.join(map(str, steps))}."
                )
            return store.read(int(which))
        if which not in (FINAL, BEST, LATEST):
            raise ConfigError(f"--checkpoint={which}: give final, best, latest or a step.")
        latest = store.read(steps[-1])
        wants_best = which == BEST or (which == FINAL and self.config.early_stopping_patience)
        if not wants_best or not latest.progress.best:
            return latest
        return store.read(latest.progress.best["step"])


def only_folder(words: Sequence[str]) -> str:
    """Returns the one run directory of a command line.

    Raises:
        ConfigError: there is none, or more.
    """
    if len(words) != 1:
        raise ConfigError(
            f"give one run directory, not {len(words)}; write every flag as --name=value."
        )
    return words[0]


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        RunDirError: it cannot be read, or is none.
    """
    try:
        value = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirError(f"{path} cannot be read ({error}).") from None
    if not isinstance(value, dict):
        raise RunDirError(f"{path} is damaged: not an object.")
    return value


def _check_facts(path: Path, plan: dict[str, Any]) -> None:
    """Raises RunDirError unless plan.json's facts are such as a run writes."""
    facts = plan.get("data")
    kinds = {"class_names": list, "image_shape": list, "model": str, "precision": str}
    if not isinstance(facts, dict) or any(
        not isinstance(facts.get(name), kind) for name, kind in kinds.items()
    ):
        raise RunDirError(f"{path} is damaged: data needs {', '.join(kinds)}.")
    for name, value in (
        ("total_steps", plan.get("total_steps")), ("unfreeze_step", plan.get("unfreeze_step", 1)),
    ):  # fmt: skip
        if type(value) is not int or not 0 <= value < 2**40:
            raise RunDirError(f"{path} is damaged: {name} is no number of steps.")
    names, shape = facts["class_names"], facts["image_shape"]
    if not 2 <= len(names) <= _MOST_CLASSES or not all(map(_is_name, names)):
        raise RunDirError(f"{path} is damaged: data.class_names are not the names of classes.")
    sides = [side for side in shape if type(side) is int and side > 0]
    if len(shape) != 3 or len(sides) != 3 or shape[0] * shape[1] * shape[2] > _MOST_VALUES:
        raise RunDirError(f"{path} is damaged: data.image_shape is not that of an image.")


def _is_name(value: Any) -> bool:
    """Returns whether it is a text without control characters, which a terminal would obey."""
    return isinstance(value, str) and not any(unicodedata.category(c) == "Cc" for c in value)
