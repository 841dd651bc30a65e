"""The step engine: many training steps in one compiled call.

A step of R replicas: each takes its rows of the global batch, computes the gradient of its share of
the mean loss, all sum gradients and metrics in one collective, and all apply the same update.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from flowrate.errors import DivergedError
from input_pipelines._augmentation import Augmentation
from input_pipelines._blocks import training_blocks
from input_pipelines._source import Source
from trainer import blocks, randomness
from trainer.config import TrainConfig
from trainer.plan import Segment
from trainer.profiling import StepProfiler
from trainer.state import TrainState

# `--steps_per_call=0` aims at calls of this length: long enough that the host's share is nothing,
# short enough that the progress bar moves and a signal is answered soon.
_SECONDS_PER_CALL = 0.5
_NUM_SHOWN_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class StepResults:
    """What one call gave.

    Attributes:
        first: the first of its steps, 1-based.
        metrics: float32 [steps, 3]: mean loss, number correct, norm of the gradient.
        seconds: wall time of the call.
        input_wait_seconds: time spent waiting for its examples, before the call.
        is_warmup: tracing and compiling fell into this call.
    """

    first: int
    metrics: np.ndarray
    seconds: float
    input_wait_seconds: float
    is_warmup: bool

    @property
    def num_steps(self) -> int:
        return len(self.metrics)

    @property
    def last(self) -> int:
        return self.first + self.num_steps - 1


class StepEngine:
    """Trains a state on a source; see the module.

    Args:
        config: what was asked for.
        state: what is trained.
        source: the training split.
        total_steps: where the run ends.
        augmentation: applied to each batch, on the device.
        compile_with_xla: whether the whole loop over steps is compiled.
        profiler: is told of every call.
        show_images: is given some images of the first batch, once: uint8 [N, height, width,
            channels], as the model gets them.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainState,
        source: Source,
        *,
        total_steps: int,
        augmentation: Augmentation,
        compile_with_xla: bool,
        profiler: StepProfiler,
        show_images: Callable[[np.ndarray], None],
    ):
        self._config = config
        self._state = state
        self._strategy = state.strategy
        self._num_classes = state.model.output_shape[-1]
        image_shape = state.model.input_shape[1:]
        self._augmentation = augmentation
        self._profiler = profiler
        self._weights = state.model.trainable_variables
        self._block_steps = blocks.training_block_steps(
            image_shape, config.global_batch_size, total_steps, config.steps_per_call
        )
        self._blocks = training_blocks(
            source, image_shape,
            seed=config.seed, first_step=state.progress.step, last_step=total_steps,
            global_batch_size=config.global_batch_size, steps_per_block=self._block_steps,
            num_draws=augmentation.num_draws,
        )  # fmt: skip
        self._raw_block = self._block = None
        self._block_position = self._block_steps  # as if one had just been used up
        self._seconds_per_step: float | None = None
        randomness.use_stateless_seeds(state.model)
        self._train_steps = tf.function(
            self._train_steps_fn, jit_compile=compile_with_xla or None, autograph=False
        )
        self._augment_block = tf.function(self._augment_block_fn, autograph=False)
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
            waited = self._wait_for_block()
            num_steps = self._profiler.cut(step, self._steps_this_call(segment.last - step + 1))
            with self._profiler.around(step, num_steps):
                results = self._call(step, num_steps, waited)
            self._check_finite(results)
            step += num_steps
            yield results

    def _call(self, first: int, num_steps: int, waited: float) -> StepResults:
        is_warmup = self._seconds_per_step is None
        started = time.perf_counter()
        if self._raw_block is not None:
            self._prepare_block()
        start = self._block_position
        metrics = self._train_steps(
            self._block,
            tf.constant(start),
            tf.constant(num_steps),
            # The block's first step, so that each step knows its number in the run.
            tf.constant(first - 1 - start, tf.int64),
        )
        metrics = metrics.numpy()[start : start + num_steps]
        seconds = time.perf_counter() - started
        self._block_position += num_steps
        self._seconds_per_step = 0.0 if is_warmup else seconds / num_steps
        return StepResults(first, metrics, seconds, waited, is_warmup)

    def _steps_this_call(self, wanted: int) -> int:
        left_in_block = self._block_steps - self._block_position
        most = min(wanted, left_in_block)
        if self._seconds_per_step is None or self._seconds_per_step == 0.0:
            return 1  # Compiling, then a first look at the speed.
        if self._config.steps_per_call:
            return most
        return max(1, min(most, int(_SECONDS_PER_CALL / self._seconds_per_step)))

    def _wait_for_block(self) -> float:
        """Fetches the next block where one is used up; returns the seconds spent waiting."""
        if self._block_position < self._block_steps:
            return 0.0
        started = time.perf_counter()
        self._raw_block = next(self._blocks)
        self._block_position = 0
        return time.perf_counter() - started

    def _prepare_block(self) -> None:
        """Brings the fetched block to the replicas and augments it: part of the steps' own time."""
        block = blocks.place(self._strategy, self._raw_block)
        if self._augmentation.names:
            block = self._augment_block(block)
        if self._show_images:
            (images, *_) = self._strategy.experimental_local_results(block["images"])
            self._show_images(images[0, :_NUM_SHOWN_IMAGES].numpy())
            self._show_images = None
        self._block, self._raw_block = block, None

    def _augment_block_fn(self, block: dict) -> dict:
        return self._strategy.run(self._augment_replica, args=(block,))

    def _augment_replica(self, block: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Augments all steps of a block at once; rows keep their places."""
        images, labels, draws = block["images"], block["labels"], block["draws"]
        lead = images.shape[:2]

        def merge(tensor: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tensor, [lead[0] * lead[1], *tensor.shape[2:]])

        augmented, targets = self._augmentation(merge(images), merge(labels), merge(draws))
        return {
            "images": tf.reshape(augmented, images.shape),
            "labels": labels,
            "targets": tf.reshape(targets, [*lead, self._num_classes]),
        }

    def _train_steps_fn(self, block, start, num_steps, first_step_of_block) -> tf.Tensor:
        """Returns float32 [steps of the block, 3]; rows outside the call's steps are 0."""
        metrics = tf.TensorArray(tf.float32, size=self._block_steps, element_shape=[3])

        def one_step(position, metrics):
            step = first_step_of_block + tf.cast(position, tf.int64)
            values = self._strategy.run(self._replica_step, args=(block, position, step))
            # All replicas have the same sums.
            (values, *_) = self._strategy.experimental_local_results(values)
            return position + 1, metrics.write(position, values)

        end = start + num_steps
        _, metrics = tf.while_loop(lambda position, _: position < end, one_step, [start, metrics])
        return metrics.stack()

    def _replica_step(self, block, position, step) -> tf.Tensor:
        images, labels = block["images"][position], block["labels"][position]
        targets = self._smooth(
            block["targets"][position] if "targets" in block
            else tf.one_hot(labels, self._num_classes)
        )  # fmt: skip
        model, optimizer = self._state.model, self._state.optimizer
        with tf.GradientTape() as tape, randomness.step_seed(self._config.seed, step):
            logits = model(images, training=True)
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
        *gradients, loss, correct = self._sum_over_replicas(
            [*gradients, loss, tf.cast(correct, tf.float32)]
        )
        norm = tf.linalg.global_norm(gradients) / optimizer.scale_loss(tf.constant(1.0))
        if self._config.precision == "mixed_float16":
            # A gradient that overflows is not applied: the optimizer lowers the scale instead.
            norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
        optimizer.apply(gradients, self._weights)
        return tf.stack([loss, correct, norm])

    def _sum_over_replicas(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._strategy.num_replicas_in_sync == 1:
            return tensors
        # One call: TensorFlow packs the tensors into few collectives.
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def _smooth(self, targets: tf.Tensor) -> tf.Tensor:
        share = self._config.label_smoothing
        return targets * (1 - share) + share / self._num_classes if share else targets

    def _check_finite(self, results: StepResults) -> None:
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
