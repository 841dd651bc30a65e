"""The step engine: many training steps (trainer/engine/step.py) in one compiled call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from flowrate.failpoint import reach
from trainer.config import TrainConfig
from trainer.distributed.exchange import Exchange
from trainer.distributed.votes import Agreement
from trainer.engine.batches import Batches, Inputs
from trainer.engine.compiled_loop import Trained, train_steps
from trainer.engine.jit import JitChoice
from trainer.engine.optimizers import Schedule
from trainer.engine.profiling import StepProfiler
from trainer.engine.results import StepResults
from trainer.engine.state import TrainState
from trainer.engine.step import NUM_METRICS, TrainStep
from trainer.engine.watchdog import Doing
from trainer.plan import Segment

# `--steps_per_call=0` aims at calls of this length: long enough that the host's share is nothing,
# short enough that the progress bar moves and a signal is answered soon.
_SECONDS_PER_CALL = 0.5
_NUM_SHOWN_IMAGES = 16


class StepEngine:
    """Trains a state on batches; see the module.

    Args:
        config: what was asked for.
        state: what is trained.
        schedule: the learning rate that its optimizer follows.
        batches: where its examples come from.
        jit: whether XLA compiles the whole loop over steps, and how.
        total_steps: where the run ends.
        class_weights: TrainingData.class_weights.
        agreement: what the workers act on together.
        profiler: profiles the calls that it is asked to.
        show_images: is given some images of the first batch, once: uint8 [N, height, width,
            channels], as the model gets them.

    Attributes:
        busy_seconds_per_step: of several workers, the time of a step of the last call without the
            exchange with the others; None before there is one.
        doing: what `run` is doing; None in between.
        trained_step: the last step that is trained, 1-based; None before there is one, and while a
            call changes the state.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainState,
        schedule: Schedule,
        batches: Batches,
        *,
        jit: JitChoice,
        total_steps: int,
        class_weights: tuple[float, ...] | None,
        agreement: Agreement,
        profiler: StepProfiler,
        show_images: Callable[[np.ndarray], None],
    ):
        self._config = config
        self._state = state
        self.batches = batches
        self._agreement = agreement
        self._exchange = Exchange(config, state.strategy, agreement.num_workers)
        self._step = TrainStep(
            config, state, schedule, batches, self._exchange,
            total_steps=total_steps, class_weights=class_weights,
            uses_matrix_convolutions=jit.matrix_convolutions,
        )  # fmt: skip
        self._profiler = profiler
        self._seconds_per_step: float | None = None  # as agreed
        self._own_seconds_per_step = 0.0
        self.busy_seconds_per_step: float | None = None
        self.doing: Doing | None = None
        self.trained_step: int | None = None
        self._is_compiled = jit.compile
        self._train_steps = tf.function(
            self._train_steps_fn, jit_compile=jit.compile or None, autograph=False
        )
        self._show_images: Callable[[np.ndarray], None] | None = show_images

    def run(self, segment: Segment) -> Iterator[StepResults]:
        """Trains the steps of a segment, a call at a time.

        Yields:
            The results of each call. Whoever stops in between has trained up to there. The call
            with a step whose loss or gradient is not finite ends with it, and is the last; also
            one after which weights or optimizer are not, which are looked at every 50 steps.

        Raises:
            DataError: a file cannot be decoded.
        """
        step = segment.first
        while step <= segment.last:
            self.doing = Doing("waiting for examples", step, step)
            waited = self.batches.wait()
            num_steps = self._profiler.cut(step, self._steps_this_call(segment.last - step + 1))
            self.doing = self._call_of(step, num_steps)
            reach("step" if self._seconds_per_step else "compile")
            with self._profiler.around(step, num_steps):
                self.trained_step = None
                results = self._call(step, num_steps, waited)
            self.doing, self.trained_step = None, results.last
            step += results.num_steps
            yield results
            if not results.is_finite:
                return

    def _call_of(self, first: int, num_steps: int) -> Doing:
        usual = num_steps * (self._seconds_per_step or 0.0)
        what = "training" if self._seconds_per_step else "compiling"
        return Doing(what, first, first + num_steps - 1, usual)

    def start_from(self, step: int) -> None:
        """Takes the examples from here on that follow after `step` steps of the run."""
        self.batches.start_from(step)

    def graph_of_one_step(self) -> tf.Graph:
        """Returns the graph of a single step, for an analysis of its cost; one replica only."""
        step = tf.function(
            lambda inputs: self._step.on_replica(
                inputs, tf.constant(0), tf.constant(0, tf.int64), self._agreement.ballot()
            ),
            autograph=False,
        )
        return step.get_concrete_function(self.batches.inputs()).graph

    def bare_call(self, num_steps: int) -> float:
        """Trains steps on what the devices hold already, and returns the seconds they took.

        The limit that a run is held against: no input, no log. It trains, on examples that are not
        the run's next ones; whoever measures keeps the state and puts it back.

        Args:
            num_steps: at most the steps of a block; 0 for all of them.
        """
        inputs = self.batches.inputs()
        num_steps = min(num_steps or self.batches.steps_per_block, self.batches.steps_per_block)
        started = time.perf_counter()
        self._train_steps(
            inputs, tf.constant(0), tf.constant(num_steps), tf.constant(0, tf.int64),
            tf.constant(self._agreement.ballot()),
        ).figures.numpy()  # fmt: skip
        return time.perf_counter() - started

    def _call(self, first: int, num_steps: int, waited: float) -> StepResults:
        is_warmup = self._seconds_per_step is None
        started = time.perf_counter()
        inputs = self.batches.inputs()
        if self._show_images and not self._state.part.takes_features:
            self._show_images(self.batches.sample_images(_NUM_SHOWN_IMAGES))
            self._show_images = None
        start = self.batches.position
        trained = self._train_steps(
            inputs,
            tf.constant(start),
            tf.constant(num_steps),
            # The block's first step, so that each step knows its number in the run.
            tf.constant(first - 1 - start, tf.int64),
            tf.constant(self._agreement.ballot(self._own_seconds_per_step)),
        )
        figures = trained.figures.numpy()[start : int(trained.end)]
        seconds = time.perf_counter() - started
        num_steps = len(figures)
        self.batches.position += num_steps
        self._own_seconds_per_step = 0.0 if is_warmup else seconds / num_steps
        metrics, told, exchange = np.split(
            figures, [NUM_METRICS, NUM_METRICS + len(self._agreement.ballot())], axis=1
        )
        agreed = self._agreement.count(told[-1])
        self._seconds_per_step = self._own_seconds_per_step if agreed is None else agreed
        exchange_seconds = float(exchange.sum())
        if self._exchange.is_timed and not is_warmup:
            self.busy_seconds_per_step = (seconds - exchange_seconds) / num_steps
        return StepResults(
            first, metrics, seconds, waited, is_warmup, exchange_seconds,
            has_finite_state=bool(trained.has_finite_state),
        )  # fmt: skip

    def _steps_this_call(self, wanted: int) -> int:
        most = min(wanted, self.batches.steps_left)
        if not self._seconds_per_step or self._config.debug_nan:
            return 1  # Compiling, then a first look at the speed; or at each step.
        if self._config.steps_per_call:
            return most
        return max(1, min(most, int(_SECONDS_PER_CALL / self._seconds_per_step)))

    def _train_steps_fn(
        self, inputs: Inputs, start, num_steps, first_step_of_block, ballot
    ) -> Trained:
        """Trains the steps of a call, or up to the one that goes wrong; see TrainStep."""

        def one_step(position: tf.Tensor) -> tf.Tensor:
            step = first_step_of_block + tf.cast(position, tf.int64)
            return self._step(inputs, position, step, ballot)

        num_columns = NUM_METRICS + ballot.shape[0] + self._exchange.is_timed
        return train_steps(
            one_step,
            self._state.is_finite,
            start,
            num_steps,
            shape=(self.batches.steps_per_block, num_columns),
            num_checked=NUM_METRICS,
            is_compiled=self._is_compiled,
        )
