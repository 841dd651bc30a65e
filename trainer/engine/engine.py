"""The step engine: many training steps in one compiled call.

A step of R replicas: each takes its rows of the global batch, computes the gradient of its share of
the mean loss, all sum gradients and metrics in one collective, and all apply the same update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from flowrate.failpoint import reach
from trainer.config import TrainConfig
from trainer.distributed.exchange import Exchange
from trainer.distributed.votes import Agreement
from trainer.engine import batch_statistics
from trainer.engine import dropout_seeds as randomness
from trainer.engine.accumulation import accumulated
from trainer.engine.batches import Batches, Inputs
from trainer.engine.compiled_loop import StepLoop, Trained
from trainer.engine.cpu_convolutions import matrix_convolutions
from trainer.engine.jit import JitChoice
from trainer.engine.optimizers import Schedule
from trainer.engine.profiling import StepProfiler
from trainer.engine.results import StepResults
from trainer.engine.state import TrainState
from trainer.engine.watchdog import Doing
from trainer.plan import Segment

# `--steps_per_call=0` aims at calls of this length: long enough that the host's share is nothing,
# short enough that the progress bar moves and a signal is answered soon.
_SECONDS_PER_CALL = 0.5
_NUM_SHOWN_IMAGES = 16
# See StepResults.metrics; what workers tell each other follows, then the seconds of the exchange.
_NUM_METRICS = 4


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
        profiler: is told of every call.
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
        self._strategy = state.strategy
        self._schedule = schedule
        self.batches = batches
        self._total_steps = total_steps
        self._class_weights = class_weights
        self._agreement = agreement
        self._exchange = Exchange(config, state.strategy, agreement.num_workers)
        self._profiler = profiler
        self._weights = state.model.trainable_variables
        self._num_classes = state.model.output_shape[-1]
        self._seconds_per_step: float | None = None  # as agreed
        self._own_seconds_per_step = 0.0
        self.busy_seconds_per_step: float | None = None
        self.doing: Doing | None = None
        self.trained_step: int | None = None
        randomness.use_stateless_seeds(state.model)
        self._is_compiled = jit.compile
        self._train_steps = tf.function(
            self._train_steps_fn, jit_compile=jit.compile or None, autograph=False
        )
        self._uses_matrix_convolutions = jit.matrix_convolutions
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
            figures, [_NUM_METRICS, _NUM_METRICS + len(self._agreement.ballot())], axis=1
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
        """Trains the steps of a call, or up to the one that goes wrong.

        The columns of the figures are those of StepResults.metrics and, of several workers, the sum
        of all ballots and, where they are taken, this worker's seconds of exchange.
        """

        def one_step(position: tf.Tensor) -> tf.Tensor:
            step = first_step_of_block + tf.cast(position, tf.int64)
            with batch_statistics.momentum_of_step(
                self._state.model,
                step,
                has_initial_statistics=self._config.weights != "none",
            ):
                values = self._strategy.run(
                    self._replica_step, args=(inputs, position, step, ballot)
                )
            # All replicas have the same sums; the time is that of the first.
            (values, *_) = self._strategy.experimental_local_results(values)
            return values

        loop = StepLoop(
            one_step,
            self._has_finite_state,
            shape=(
                self.batches.steps_per_block,
                _NUM_METRICS + ballot.shape[0] + self._exchange.is_timed,
            ),
            num_checked=_NUM_METRICS,
            is_compiled=self._is_compiled,
        )
        return loop.run(start, num_steps)

    def _has_finite_state(self) -> tf.Tensor:
        """Returns whether all that is the same on every replica holds finite numbers."""
        checked = [
            tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(variable.value)))
            for variable in (*self._weights, *self._state.optimizer.variables)
            if tf.as_dtype(variable.dtype).is_floating
        ]
        return tf.reduce_all(tf.stack(checked))

    def _gradients(
        self, images, labels, targets, number: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns a replica's share of the gradient and of (loss, correct answers), float32 [2].

        Args:
            images, labels, targets: of Batches.batch; all rows or some.
            number: for dropout; no two calls of a run have the same.
        """
        model, optimizer = self._state.model, self._state.optimizer
        with tf.GradientTape() as tape, randomness.step_seed(self._config.seed, number):
            logits = self._logits(images)
            # A share of the global mean: summed over replicas, it is the mean over the batch.
            loss = tf.reduce_sum(self._losses(targets, logits)) / self._config.global_batch_size
            if model.losses:  # Regularization is per step, not per replica or part of a batch.
                num_parts = self._config.gradient_accumulation
                loss += tf.add_n(model.losses) / (self._strategy.num_replicas_in_sync * num_parts)
            scaled_loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled_loss,
            [weight.value for weight in self._weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        correct = tf.math.count_nonzero(
            tf.argmax(logits, axis=1, output_type=tf.int32) == labels, dtype=tf.int32
        )
        return gradients, tf.stack([loss, tf.cast(correct, tf.float32)])

    def _replica_step(self, inputs: Inputs, position, step, ballot) -> tf.Tensor:
        optimizer = self._state.optimizer
        gradients, sums = accumulated(
            self._gradients, self.batches.batch(inputs, position), step,
            self._config.gradient_accumulation, [weight.shape for weight in self._weights],
        )  # fmt: skip
        # Each replica brings its part of what its worker tells.
        ballot = ballot * self._agreement.num_workers / self._strategy.num_replicas_in_sync
        sums = tf.concat([sums, ballot], axis=0)
        gradients, sums, exchange_seconds = self._exchange.sum(gradients, sums)
        logged = tf.cond(
            self._is_logged(step),
            lambda: tf.stack([self._global_norm(gradients), self._schedule(step)]),
            lambda: tf.zeros([2]),
        )
        optimizer.apply(gradients, self._weights)
        return tf.concat([sums[:2], logged, sums[2:], exchange_seconds], axis=0)

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        part = self._state.part
        if not self._uses_matrix_convolutions:
            return part(images, training=True)
        with matrix_convolutions(self._state.model):
            return part(images, training=True)

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

    def _losses(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows]; classes weigh as an example has been mixed of them."""
        losses = tf.nn.softmax_cross_entropy_with_logits(self._smooth(targets), logits)
        if self._class_weights:
            losses *= tf.linalg.matvec(targets, tf.constant(self._class_weights, tf.float32))
        return losses

    def _smooth(self, targets: tf.Tensor) -> tf.Tensor:
        share = self._config.label_smoothing
        return targets * (1 - share) + share / self._num_classes if share else targets
