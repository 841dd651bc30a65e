"""The step engine: many training steps in one compiled call.

A step of R replicas: each takes its rows of the global batch, computes the gradient of its share of
the mean loss, all sum gradients and metrics in one collective, and all apply the same update.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from flowrate.errors import DivergedError
from trainer import randomness
from trainer.agreement import Agreement
from trainer.batches import Batches, Inputs
from trainer.config import TrainConfig
from trainer.exchange import Exchange
from trainer.jit import JitChoice
from trainer.matrix_convolutions import matrix_convolutions
from trainer.optimizers import Schedule
from trainer.plan import Segment
from trainer.profiling import StepProfiler
from trainer.state import TrainState

# `--steps_per_call=0` aims at calls of this length: long enough that the host's share is nothing,
# short enough that the progress bar moves and a signal is answered soon.
_SECONDS_PER_CALL = 0.5
_NUM_SHOWN_IMAGES = 16
# See StepResults.metrics; what workers tell each other follows, then the seconds of the exchange.
_NUM_METRICS = 4


@dataclasses.dataclass(frozen=True)
class StepResults:
    """What one call gave.

    Attributes:
        first: the first of its steps, 1-based.
        metrics: float32 [steps, 4]: mean loss, number correct, and, of steps that are logged, the
            norm of the gradient and the learning rate, else 0.
        seconds: wall time of the call.
        input_wait_seconds: time spent waiting for its examples, before the call.
        exchange_seconds: of several workers, the time within the call from this worker's gradients
            being ready to the sum over all: the exchange, and the wait for the slowest.
        is_warmup: tracing and compiling fell into this call.
    """

    first: int
    metrics: np.ndarray
    seconds: float
    input_wait_seconds: float
    is_warmup: bool
    exchange_seconds: float = 0.0

    @property
    def num_steps(self) -> int:
        return len(self.metrics)

    @property
    def last(self) -> int:
        return self.first + self.num_steps - 1

    def cut(self, steps: Iterable[int]) -> Iterator[StepResults]:
        """Yields the results in pieces that end with each of these steps, and what is left over.

        The time of the call is shared out evenly: steps of one call are not timed one by one.
        """
        first = self.first
        for last in sorted({*steps, self.last}):
            share = (last - first + 1) / self.num_steps
            yield dataclasses.replace(
                self,
                first=first,
                metrics=self.metrics[first - self.first : last - self.first + 1],
                seconds=self.seconds * share,
                input_wait_seconds=self.input_wait_seconds * share,
                exchange_seconds=self.exchange_seconds * share,
            )
            first = last + 1


class StepEngine:
    """Trains a state on batches; see the module.

    Args:
        config: what was asked for.
        state: what is trained.
        schedule: the learning rate that its optimizer follows.
        batches: where its examples come from.
        jit: whether XLA compiles the whole loop over steps, and how.
        total_steps: where the run ends.
        agreement: what the workers act on together.
        profiler: is told of every call.
        show_images: is given some images of the first batch, once: uint8 [N, height, width,
            channels], as the model gets them.

    Attributes:
        busy_seconds_per_step: of several workers, the time of a step of the last call without the
            exchange with the others; None before there is one.
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
        agreement: Agreement,
        profiler: StepProfiler,
        show_images: Callable[[np.ndarray], None],
    ):
        self._config = config
        self._state = state
        self._strategy = state.strategy
        self._schedule = schedule
        self.batches = batches
        self._total_steps = total_steps
        self._agreement = agreement
        self._exchange = Exchange(config, state.strategy, agreement.num_workers)
        self._profiler = profiler
        self._weights = state.model.trainable_variables
        self._num_classes = state.model.output_shape[-1]
        self._seconds_per_step: float | None = None  # as agreed
        self._own_seconds_per_step = 0.0
        self.busy_seconds_per_step: float | None = None
        randomness.use_stateless_seeds(state.model)
        self._train_steps = tf.function(
            self._train_steps_fn, jit_compile=jit.compile or None, autograph=False
        )
        self._uses_matrix_convolutions = jit.matrix_convolutions
        self._show_images: Callable[[np.ndarray], None] | None = show_images

    def run(self, segment: Segment) -> Iterator[StepResults]:
        """Trains the steps of a segment, a call at a time.

        Yields:
            The results of each call. Whoever stops in between has trained up to there.

        Raises:
            DivergedError: the loss or the gradient of a step is not finite.
            DataError: a file cannot be decoded.
        """
        step = segment.first
        while step <= segment.last:
            waited = self.batches.wait()
            num_steps = self._profiler.cut(step, self._steps_this_call(segment.last - step + 1))
            with self._profiler.around(step, num_steps):
                results = self._call(step, num_steps, waited)
            check_finite(results)
            step += num_steps
            yield results

    def graph_of_one_step(self) -> tf.Graph:
        """Returns the graph of a single step, for an analysis of its cost; one replica only."""
        step = tf.function(
            lambda inputs: self._replica_step(
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
        ).numpy()  # fmt: skip
        return time.perf_counter() - started

    def _call(self, first: int, num_steps: int, waited: float) -> StepResults:
        is_warmup = self._seconds_per_step is None
        started = time.perf_counter()
        inputs = self.batches.inputs()
        if self._show_images:
            self._show_images(self.batches.sample_images(_NUM_SHOWN_IMAGES))
            self._show_images = None
        start = self.batches.position
        metrics = self._train_steps(
            inputs,
            tf.constant(start),
            tf.constant(num_steps),
            # The block's first step, so that each step knows its number in the run.
            tf.constant(first - 1 - start, tf.int64),
            tf.constant(self._agreement.ballot(self._own_seconds_per_step)),
        )
        metrics = metrics.numpy()[start : start + num_steps]
        seconds = time.perf_counter() - started
        self.batches.position += num_steps
        self._own_seconds_per_step = 0.0 if is_warmup else seconds / num_steps
        metrics, told, exchange = np.split(
            metrics, [_NUM_METRICS, _NUM_METRICS + len(self._agreement.ballot())], axis=1
        )
        agreed = self._agreement.count(told[-1])
        self._seconds_per_step = self._own_seconds_per_step if agreed is None else agreed
        exchange_seconds = float(exchange.sum())
        if self._exchange.is_timed and not is_warmup:
            self.busy_seconds_per_step = (seconds - exchange_seconds) / num_steps
        return StepResults(first, metrics, seconds, waited, is_warmup, exchange_seconds)

    def _steps_this_call(self, wanted: int) -> int:
        most = min(wanted, self.batches.steps_left)
        if not self._seconds_per_step:
            return 1  # Compiling, then a first look at the speed.
        if self._config.steps_per_call:
            return most
        return max(1, min(most, int(_SECONDS_PER_CALL / self._seconds_per_step)))

    def _train_steps_fn(
        self, inputs: Inputs, start, num_steps, first_step_of_block, ballot
    ) -> tf.Tensor:
        """Returns float32 [steps of the block, columns]; rows outside the call's steps are 0.

        Columns are those of StepResults.metrics and, of several workers, the sum of all ballots
        and, where they are taken, this worker's seconds of exchange.
        """
        size = self.batches.steps_per_block
        width = _NUM_METRICS + ballot.shape[0] + self._exchange.is_timed
        metrics = tf.TensorArray(tf.float32, size=size, element_shape=[width])

        def one_step(position, metrics):
            step = first_step_of_block + tf.cast(position, tf.int64)
            values = self._strategy.run(self._replica_step, args=(inputs, position, step, ballot))
            # All replicas have the same sums; the time is that of the first.
            (values, *_) = self._strategy.experimental_local_results(values)
            return position + 1, metrics.write(position, values)

        end = start + num_steps
        _, metrics = tf.while_loop(lambda position, _: position < end, one_step, [start, metrics])
        return metrics.stack()

    def _replica_step(self, inputs: Inputs, position, step, ballot) -> tf.Tensor:
        images, labels, targets = self.batches.batch(inputs, position)
        targets = self._smooth(targets)
        model, optimizer = self._state.model, self._state.optimizer
        with tf.GradientTape() as tape, randomness.step_seed(self._config.seed, step):
            logits = self._logits(images)
            # A share of the global mean: summed over replicas, it is the mean over the batch.
            loss = (
                tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
                / self._config.global_batch_size
            )
            if model.losses:  # Regularization is per step, not per replica.
                loss += tf.add_n(model.losses) / self._strategy.num_replicas_in_sync
            scaled_loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled_loss,
            [weight.value for weight in self._weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        correct = tf.math.count_nonzero(
            tf.argmax(logits, axis=1, output_type=tf.int32) == labels, dtype=tf.int32
        )
        # Each replica brings its part of what its worker tells.
        ballot = ballot * self._agreement.num_workers / self._strategy.num_replicas_in_sync
        sums = tf.concat([[loss, tf.cast(correct, tf.float32)], ballot], axis=0)
        gradients, sums, exchange_seconds = self._exchange.sum(gradients, sums)
        logged = tf.cond(
            self._is_logged(step),
            lambda: tf.stack([self._global_norm(gradients), self._schedule(step)]),
            lambda: tf.zeros([2]),
        )
        optimizer.apply(gradients, self._weights)
        return tf.concat([sums[:2], logged, sums[2:], exchange_seconds], axis=0)

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        model = self._state.model
        if not self._uses_matrix_convolutions:
            return model(images, training=True)
        with matrix_convolutions(model):
            return model(images, training=True)

    def _is_logged(self, step: tf.Tensor) -> tf.Tensor:
        """Returns whether a log line is due after a step (0-based); see TrainPlan.logged_steps."""
        return ((step + 1) % self._config.log_every_steps == 0) | (step + 1 == self._total_steps)

    def _global_norm(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Returns the norm of the whole gradient.

        Only for the steps that are logged: XLA on CPUs may not change the order of a float sum, so
        it adds one number at a time, 0.1 ms for the 100,000 weights of `mlp`, of a step of 0.3 ms.
        """
        norm = tf.linalg.global_norm(gradients)
        norm /= self._state.optimizer.scale_loss(tf.constant(1.0))
        if self._config.precision == "mixed_float16":
            # A gradient that overflows is not applied: the optimizer lowers the scale instead.
            norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
        return norm

    def _smooth(self, targets: tf.Tensor) -> tf.Tensor:
        share = self._config.label_smoothing
        return targets * (1 - share) + share / self._num_classes if share else targets


def check_finite(results: StepResults) -> None:
    """Raises DivergedError, with the step, where a loss or a gradient is not finite."""
    (bad,) = np.nonzero(~np.isfinite(results.metrics).all(axis=1))
    if bad.size:
        step = results.first + int(bad[0])
        what = "gradient" if np.isfinite(results.metrics[bad[0], 0]) else "loss"
        before = results.metrics[bad[0] - 1, 0] if bad[0] else None
        last = f" (step {step - 1}: {before:.4g})" if before is not None else ""
        raise DivergedError(
            f"the {what} is not finite at step {step}, in steps {results.first} to "
            f"{results.last}{last}. Lower --learning_rate, or set --gradient_clip_norm=1."
        )
