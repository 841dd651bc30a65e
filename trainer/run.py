"""TrainingRun: all that a run is made of, for whoever trains, saves, judges or measures it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from flowrate.environment import process_seconds
from flowrate.signals import StopRequest
from input_pipelines.source import Source
from trainer.checkpoints.background import BackgroundSaver
from trainer.checkpoints.store import Checkpoint
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.distributed.follower import NoSaver, Silent
from trainer.distributed.team import Team
from trainer.distributed.votes import Agreement
from trainer.engine.engine import StepEngine
from trainer.engine.evaluator import Evaluator
from trainer.engine.optimizers import Halved
from trainer.engine.results import StepResults
from trainer.engine.state import TrainState
from trainer.output.writers import RunWriter
from trainer.plan import TrainPlan
from trainer.run_dir.folder import RunDir


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the `auto` flags came to: the cache tier, whether XLA compiles, the dtype policy."""

    cache: str
    jit: bool
    precision: str


@dataclasses.dataclass
class TrainingRun:
    """All that a run is made of, put together by trainer/build.py.

    Attributes:
        sources: the splits as the cache keeps them.
        examples: the training split as it was loaded: its files have names.
        team: the workers, where there are several.
        end_step: where this part of the run ends: the last step, or that of --unfreeze_at, after
            which `build_next` builds the rest.
        saved_step: of the newest checkpoint that was begun; None where there is none.
        resumable_step: the last step trained here from which a run can resume: it is counted and
            logged, and what is due is noted.
        steps_measured: steps trained outside of warm-up.
        exchange_seconds: of them, spent in the exchange with other workers.
    """

    config: TrainConfig
    plan: TrainPlan
    choices: Choices
    state: TrainState
    engine: StepEngine
    evaluator: Evaluator
    evaluation_split: str
    sources: dict[str, Source]
    examples: Source
    schedule: Halved
    run_dir: RunDir
    saver: BackgroundSaver | NoSaver
    writer: RunWriter | Silent
    clock: PhaseClock
    stop: StopRequest
    agreement: Agreement
    team: Team | None
    num_workers: int
    num_replicas: int
    end_step: int
    saved_step: int | None
    resumable_step: int | None = None
    has_evaluated: bool = False
    steps_measured: int = 0
    exchange_seconds: float = 0.0
    last_loss: float | None = None
    first_step_seconds: float | None = None
    build_next: Callable[[], TrainingRun] | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: it is the only one, or the first of several."""
        return self.team is None or self.team.cluster.is_chief

    @property
    def is_out_of_patience(self) -> bool:
        """Whether --early_stopping_patience ends the run here."""
        patience = self.config.early_stopping_patience
        return 0 < patience <= self.state.progress.evaluations_since_best

    def count(self, results: StepResults) -> None:
        """Adds up the time of a compiled call, and what is measured of it."""
        # The first wait is for the input to start up.
        is_warmup = results.is_warmup
        self.clock.add("data" if is_warmup else "input_wait", results.input_wait_seconds)
        self.clock.add("compile" if is_warmup else "train", results.seconds)
        if not is_warmup:
            self.steps_measured += results.num_steps
            self.exchange_seconds += results.exchange_seconds
        if self.first_step_seconds is None:
            self.first_step_seconds = process_seconds()

    def take_back_best(self) -> None:
        """Restores the weights of the best evaluation; the progress stays where it is."""
        progress = self.state.progress
        assert progress.best is not None  # Only after an evaluation is there anything to restore.
        best = self.of_chief(self.run_dir.read_checkpoint(progress.best["step"]))
        assert best is not None
        self.state.restore(dataclasses.replace(best, progress=progress))

    def of_chief(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Returns what the chief has read, on every worker; all call this together."""
        return self.team.checkpoint_of_chief(checkpoint) if self.team else checkpoint

    def wait_for_all(self) -> None:
        """Returns when every worker has come here."""
        if self.team:
            self.team.wait_for_all()

    def follow(self) -> TrainingRun | None:
        """Builds the part of the run after this one, which is trained; None if there is none."""
        if self.end_step == self.plan.total_steps or self.is_out_of_patience:
            return None
        assert self.build_next is not None  # build_run sets it.
        following = self.build_next()
        for name in ("steps_measured", "exchange_seconds", "first_step_seconds"):
            setattr(following, name, getattr(self, name))
        return following
