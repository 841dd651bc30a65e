"""One training step: the mathematics, the same for every strategy.

batch      each replica takes its rows of the global batch
gradient   of its share of the mean loss, a part of the rows at a time
exchange   all replicas sum gradients and figures, in one collective
update     all apply the same one: loss scale, clipping, rate, weight decay, moving average
"""

from __future__ import annotations

import contextlib

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.distributed.exchange import Exchange
from trainer.engine.accumulation import accumulated
from trainer.engine.batch_statistics import momentum_of_step
from trainer.engine.batches import Batches, Inputs
from trainer.engine.cpu_convolutions import matrix_convolutions
from trainer.engine.dropout_seeds import step_seed, use_stateless_seeds
from trainer.engine.optimizers import Schedule
from trainer.engine.state import TrainState

# Columns of StepResults.metrics; what workers tell each other follows, then the exchange's seconds.
NUM_METRICS = 4


class TrainStep:
    """A step of a run, to be called within a compiled function.

    Args:
        config: what was asked for.
        state: what is trained.
        schedule: the learning rate that its optimizer follows.
        batches: where the rows of a replica come from.
        exchange: sums over the replicas.
        total_steps: where the run ends; the last step is logged.
        class_weights: TrainingData.class_weights.
        uses_matrix_convolutions: JitChoice.matrix_convolutions.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainState,
        schedule: Schedule,
        batches: Batches,
        exchange: Exchange,
        *,
        total_steps: int,
        class_weights: tuple[float, ...] | None,
        uses_matrix_convolutions: bool,
    ):
        self._config, self._state, self._schedule = config, state, schedule
        self._batches, self._exchange = batches, exchange
        self._total_steps = total_steps
        self._class_weights = class_weights
        self._as_matrices = uses_matrix_convolutions
        self._weights = state.model.trainable_variables
        use_stateless_seeds(state.model)

    def __call__(self, inputs: Inputs, position, step: tf.Tensor, ballot) -> tf.Tensor:
        """Trains a step on every replica of this process.

        Args:
            inputs: a block; see Batches.inputs.
            position: int32 scalar, of the step within the block.
            step: int64 scalar, 0-based.
            ballot: float32 [n], what this worker tells the others.

        Returns:
            float32 [4 + n, and 1 where the exchange is timed]: the metrics, the sum of all ballots,
            and the seconds of the exchange.
        """
        strategy, has_statistics = self._state.strategy, self._config.weights != "none"
        with momentum_of_step(self._state.model, step, has_statistics):
            rows = strategy.run(self.on_replica, args=(inputs, position, step, ballot))
        # All replicas have the same sums; the time is that of the first.
        return strategy.experimental_local_results(rows)[0]

    def on_replica(self, inputs: Inputs, position, step: tf.Tensor, ballot) -> tf.Tensor:
        """Trains a step within `strategy.run`; arguments and figures as above."""
        gradients, sums = accumulated(
            self._gradients, self._batches.batch(inputs, position), step,
            self._config.gradient_accumulation, [weight.shape for weight in self._weights],
        )  # fmt: skip
        sums = tf.concat([sums, self._exchange.share_of(ballot)], axis=0)
        gradients, sums, seconds = self._exchange.sum(gradients, sums)
        is_last = step + 1 == self._total_steps
        logged = tf.cond(  # See TrainPlan.logged_steps.
            ((step + 1) % self._config.log_every_steps == 0) | is_last,
            lambda: tf.stack([self._global_norm(gradients), self._schedule(step)]),
            lambda: tf.zeros([2]),
        )
        self._state.optimizer.apply(gradients, self._weights)
        return tf.concat([sums[:2], logged, sums[2:], seconds], axis=0)

    def _gradients(self, images, labels, targets, number) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns a replica's share of the gradient and of (loss, correct answers), float32 [2].

        Args:
            images, labels, targets: of Batches.batch; all rows or some.
            number: for dropout; no two calls of a run have the same.
        """
        config, model = self._config, self._state.model
        around = matrix_convolutions(model) if self._as_matrices else contextlib.nullcontext()
        with tf.GradientTape() as tape, step_seed(config.seed, number):
            with around:
                logits = self._state.part(images, training=True)
            # A share of the global mean: summed over replicas, it is the mean over the batch.
            loss = tf.reduce_sum(self._losses(targets, logits)) / config.global_batch_size
            if model.losses:  # Regularization is per step, not per replica or part of a batch.
                num_replicas = self._state.strategy.num_replicas_in_sync
                loss += tf.add_n(model.losses) / (num_replicas * config.gradient_accumulation)
            scaled_loss = self._state.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled_loss,
            [weight.value for weight in self._weights],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        is_correct = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        correct = tf.math.count_nonzero(is_correct, dtype=tf.int32)
        return gradients, tf.stack([loss, tf.cast(correct, tf.float32)])

    def _losses(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows]; classes weigh as an example has been mixed of them."""
        share, smooth = self._config.label_smoothing, targets
        if share:
            smooth = targets * (1 - share) + share / self._state.model.output_shape[-1]
        losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        if self._class_weights:
            losses *= tf.linalg.matvec(targets, tf.constant(self._class_weights, tf.float32))
        return losses

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
