"""TrainPlan: what will happen, worked out before step 1. Pure Python; no TensorFlow.

Periodicity is data here: `segments` cuts the run wherever something is due, so that the loop asks
nothing of the step number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from flowrate.errors import ConfigError
from trainer.config import TrainConfig
from trainer.flags import DEFAULT_EPOCHS


@dataclasses.dataclass(frozen=True)
class Segment:
    """Steps `first` to `last` (1-based, inclusive), and what is due after the last of them.

    `only_at_end`: the evaluation is due because the run ends there, and would not be in a longer
    one.
    """

    first: int
    last: int
    evaluate: bool
    checkpoint: bool
    ends_epoch: bool
    only_at_end: bool = False

    @property
    def num_steps(self) -> int:
        return self.last - self.first + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """The run in numbers.

    Attributes:
        num_train_examples: N.
        global_batch_size: examples per step.
        total_steps: the smallest number of steps that shows each example `epochs` times. Where the
            last batch does not come out even it runs on into the next epoch: nothing is dropped.
        log_every_steps: at least 1.
        evaluate_every_steps: 0 for once an epoch.
        unfreeze_step: after which the frozen layers are trained too, the end of an epoch; 0: never.
        checkpoint_every_steps: 0 for by the clock (trainer/checkpoints/interval.py).
    """

    num_train_examples: int
    global_batch_size: int
    total_steps: int
    log_every_steps: int
    evaluate_every_steps: int
    checkpoint_every_steps: int
    unfreeze_step: int = 0

    @property
    def steps_per_epoch(self) -> float:
        """Steps per epoch; a fraction where a batch straddles two epochs."""
        return self.num_train_examples / self.global_batch_size

    def epoch_end(self, epoch: int) -> int:
        """Returns the step in which the last example of the `epoch`-th epoch (1-based) is seen."""
        return -(-epoch * self.num_train_examples // self.global_batch_size)

    def is_frozen_after(self, step: int) -> bool:
        """Returns whether the step after `step` steps leaves the frozen layers as they are."""
        return is_frozen_after(step, self.unfreeze_step)

    def epochs_at(self, step: int) -> float:
        """Returns the epochs seen after `step` steps."""
        return step * self.global_batch_size / self.num_train_examples

    def segments(self, start: int = 0) -> Iterator[Segment]:
        """Yields what is left to do after `start` steps, cut wherever training has to pause.

        The cuts after a resume are those of an undisturbed run. A log line is no reason to pause:
        each step's figures come back from the compiled call (`logged_steps`).
        """
        step = start
        while step < self.total_steps:
            ends = self._next_epoch_end(step)
            due = {
                "evaluate": _next_multiple(step, self.evaluate_every_steps) or ends,
                "checkpoint": _next_multiple(step, self.checkpoint_every_steps) or self.total_steps,
                "ends_epoch": ends,
            }
            last = min(self.total_steps, *due.values())
            flags = {name: at == last for name, at in due.items()}
            if last == self.total_steps:
                only_at_end = not flags["evaluate"]
                flags |= {"evaluate": True, "checkpoint": True, "only_at_end": only_at_end}
            yield Segment(step + 1, last, **flags)
            step = last

    def logged_steps(self, first: int, last: int) -> list[int]:
        """Returns the steps from `first` to `last` (inclusive) after which a log line is due."""
        every = self.log_every_steps
        steps = list(range(_next_multiple(first - 1, every), last + 1, every))
        is_end_due = last == self.total_steps and steps[-1:] != [last]
        return [*steps, last] if is_end_due else steps

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON-able dictionary, with the epochs they amount to."""
        return dataclasses.asdict(self) | {"epochs": self.epochs_at(self.total_steps)}

    def _next_epoch_end(self, step: int) -> int:
        # The epoch that the next example belongs to: a batch may have begun it already.
        return self.epoch_end(step * self.global_batch_size // self.num_train_examples + 1)


def is_frozen_after(step: int, unfreeze_step: int) -> bool:
    """Returns the same as TrainPlan.is_frozen_after, of a plan that is read back."""
    return not unfreeze_step or step < unfreeze_step


def make_plan(config: TrainConfig, num_train_examples: int) -> TrainPlan:
    """Works out the plan for a training split of `num_train_examples` examples."""
    epochs = config.epochs or DEFAULT_EPOCHS
    # Rounded up: the last batch may run on, but no example is left out.
    steps = config.steps or -(-epochs * num_train_examples // config.global_batch_size)
    plan = TrainPlan(
        num_train_examples=num_train_examples,
        global_batch_size=config.global_batch_size,
        total_steps=steps,
        log_every_steps=config.log_every_steps,
        evaluate_every_steps=config.evaluate_every_steps,
        checkpoint_every_steps=config.checkpoint_every_steps,
    )
    if not config.unfreeze_at:
        return plan
    unfreeze_step = plan.epoch_end(config.unfreeze_at)
    if unfreeze_step >= steps:
        raise ConfigError(
            f"--unfreeze_at={config.unfreeze_at}: the run ends with step {steps:,}, before that "
            "epoch does; give a lower number, or a longer run."
        )
    return dataclasses.replace(plan, unfreeze_step=unfreeze_step)


def _next_multiple(step: int, every: int) -> int:
    """Returns the first multiple of `every` after `step`; 0 where `every` is 0."""
    return (step // every + 1) * every if every else 0
