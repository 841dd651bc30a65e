"""Whether a command may go on with the run that a folder holds, or make it longer.

A longer run must come to the same bits as if its length had been asked for in one go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowrate.errors import RunDirError
from trainer.config import CHANGEABLE_ON_RESUME, TrainConfig
from trainer.flags import DEFAULT_EPOCHS
from trainer.plan import make_plan

# Compared by the steps they come to, where there is a plan.
_LENGTH_FLAGS = frozenset({"epochs", "steps"})


def asks_for_more(config: TrainConfig, plan: dict[str, Any], result: dict[str, Any]) -> bool:
    """Returns whether a config asks for more steps than a complete run was to take."""
    if (found := _planned(plan)) is None:
        return False
    # Not the plan first: of several workers, the chief may have written the longer one already.
    return make_plan(config, found[1]).total_steps > _steps_of(result, found[0])


def check_same_run(
    config: TrainConfig,
    path: Path,
    before: dict[str, Any],
    plan: dict[str, Any],
    result: dict[str, Any] | None,
) -> str | None:
    """Checks that a config is that of the run in a folder, but for what may change.

    Args:
        config: what is asked for.
        path: the folder.
        before: its config.json.
        plan: its plan.json; empty before there is one.
        result: its result.json, where it is complete.

    Returns:
        What to tell the user, where the run becomes longer.

    Raises:
        RunDirError: it is another run; it would become shorter, or not what it would have been in
            one go.
    """
    now, found = config.to_json(), _planned(plan)
    # A flag that the run's version did not have yet had the effect of its default.
    before = TrainConfig().to_json() | before
    changeable = CHANGEABLE_ON_RESUME | (_LENGTH_FLAGS if found else frozenset())
    differing = [
        f"--{name}={now.get(name)} (it has {before.get(name)})"
        for name in sorted(before.keys() | now.keys())
        if name not in changeable and before.get(name) != now.get(name)
    ]
    if differing:
        raise RunDirError(
            f"{path} holds a run with other flags: {', '.join(differing)}. "
            "Give the same flags to go on with it, or another --run_dir."
        )
    return _check_length(config, path, *found, result or {}) if found else None


def _check_length(
    config: TrainConfig, path: Path, before: int, num_examples: int, result: dict[str, Any]
) -> str | None:
    steps = make_plan(config, num_examples).total_steps
    if steps == before:
        return None
    asked = f"--epochs={config.epochs or DEFAULT_EPOCHS}"
    asked = f"--steps={config.steps}" if config.steps else asked
    if steps < before:
        raise RunDirError(
            f"{asked}: {path} holds a run of {before:,} steps and can only be made longer, not "
            f"{steps:,}; give another --run_dir for a shorter one."
        )
    if reason := _reason_against(config, result):
        raise RunDirError(
            f"{asked}: the run in {path} was laid out for {before:,} steps and cannot go on to "
            f"{steps:,}: {reason}. To train on from its weights, give another --run_dir and "
            f"--weights={path}."
        )
    return f"{path} holds a run of {before:,} steps; it goes on to {steps:,}."


def _reason_against(config: TrainConfig, result: dict[str, Any]) -> str | None:
    if config.schedule != "constant":
        return f"its --schedule={config.schedule} depends on the length"
    step = result.get("global_step")
    if type(step) is int and step < _steps_of(result, 0):
        return (
            f"--early_stopping_patience={config.early_stopping_patience} ended it after step "
            f"{step:,}, as it would have ended a longer one"
        )
    return None


def _steps_of(result: dict[str, Any], otherwise: int) -> int:
    """Returns the steps that a complete run was to take; records of old do not tell."""
    steps = result.get("planned_steps")
    return steps if type(steps) is int else otherwise


def _planned(plan: dict[str, Any]) -> tuple[int, int] | None:
    """Returns the steps and the training examples of a plan.json; None where it tells of none."""
    steps, examples = plan.get("total_steps"), plan.get("num_train_examples")
    if type(steps) is int and steps > 0 and type(examples) is int and examples > 0:
        return steps, examples
    return None
