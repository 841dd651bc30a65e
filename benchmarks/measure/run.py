"""A run of the trainer's, begun inside the process that measures it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flowrate.signals import StopRequest
from trainer import session
from trainer.config import TrainConfig
from trainer.output.console import Console
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:
    from trainer.data import TrainingData
    from trainer.run import TrainingRun


def begin(config: TrainConfig) -> tuple[TrainingRun, TrainingData]:
    """Does what `python -m trainer.main` does up to the first step; raises as session.start does.

    Signals are left as they are: whoever measures is killed, not asked to save.
    """
    console = Console()
    run_dir = RunDir.open(config, console.say)
    return session.start(
        config, ["trainer.main"], run_dir, console, StopRequest(), time.perf_counter()
    )
