"""Asynchronous training: the chief hands out steps, workers train them, parameter servers apply.

A step is as in trainer/engine/engine.py, but one worker takes all of its batch and applies its
gradient to whatever the weights have become. Which examples a step sees the chief says, in the
order of any other run; their images lie in each worker's memory. TensorFlow's ClusterCoordinator
gives the steps of a lost worker to another one; those that it had done, but not told of, we do.

The chief keeps weights and optimizer state of its own, brought up to date where the plan pauses and
no step is under way: they are evaluated, saved and restored as on one device.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.coordinator import cluster_coordinator

from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.blocks import training_blocks
from input_pipelines.source import ArraySource
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.engine import batch_statistics, blocks
from trainer.engine import dropout_seeds as randomness
from trainer.engine.optimizers import Schedule
from trainer.engine.results import StepResults
from trainer.engine.state import TrainState
from trainer.plan import Segment

if TYPE_CHECKING:
    from trainer.parameter_server.tasks import TaskAgreement

# Enough that no worker waits for the chief, few enough that a signal is answered soon.
_STEPS_UNDER_WAY_PER_WORKER = 4
_SECONDS_PER_RESULT = 0.5


class _StepUnderWay(NamedTuple):
    """A step that was handed out: what is needed to train it again, and what will come of it."""

    batch: tuple[tf.Tensor, tf.Tensor]
    result: tf.distribute.coordinator.RemoteValue


class ParameterServerEngine:
    """Trains a state on the tasks of a cluster; in the form of a StepEngine.

    Args:
        config: what was asked for.
        state: the chief's own; training starts from it.
        remote: the same model and optimizer, with variables on the parameter servers.
        schedule: the learning rate.
        source: the training split.
        augmentation: applied to each batch.
        num_workers: that share the steps.
        total_steps: where the run ends.
        agreement: whether to stop.
    """

    busy_seconds_per_step = None  # Workers do not wait for each other.
    doing = None  # They are watched by the chief; see trainer/distributed/peers.py.
    # The chief has the state only where no step is under way, which is not where errors come from.
    trained_step = None

    def __init__(
        self,
        config: TrainConfig,
        state: TrainState,
        remote: TrainState,
        schedule: Schedule,
        source: ArraySource,
        augmentation: Augmentation,
        *,
        num_workers: int,
        total_steps: int,
        agreement: TaskAgreement,
    ):
        self._config = config
        self._state = state
        self._remote = remote
        self._schedule = schedule
        self._total_steps = total_steps
        self._augmentation = augmentation
        self._num_classes = len(source.class_names)
        self._agreement = agreement
        self._most_under_way = _STEPS_UNDER_WAY_PER_WORKER * num_workers
        self._is_warmup = True
        randomness.use_stateless_seeds(remote.model)
        remote.restore(Checkpoint(state.to_arrays(), state.progress))
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(remote.strategy)
        self._examples = iter(self._coordinator.create_per_worker_dataset(_in_memory(source)))
        self._batches = batches(
            config, source, state.progress.step, total_steps, augmentation.num_draws
        )
        self._train_step = tf.function(self._train_step_fn, autograph=False)

    def run(self, segment: Segment) -> Iterator[StepResults]:
        """Trains the steps of a segment; see StepEngine.run.

        At the last results of the segment, or before a stop, no step is under way any more; but
        where a loss or gradient is not finite, those that were handed out are left to themselves.
        """
        under_way: collections.deque = collections.deque()
        done = scheduled = segment.first - 1
        started = time.perf_counter()
        while done < segment.last and not self._agreement:
            metrics = []
            while done + len(metrics) < segment.last:
                wanted = min(self._most_under_way - len(under_way), segment.last - scheduled)
                # Both need a rest: no step under way. A save follows results only.
                is_resting = self._agreement.is_asked or (
                    bool(metrics or under_way) and self._agreement.is_save_due()
                )
                for _ in range(0 if is_resting else wanted):
                    under_way.append(self._hand_out(next(self._batches)))
                    scheduled += 1
                if not under_way or self._is_time(started, len(metrics)):
                    break
                metrics.append(self._fetch(under_way.popleft()))
                if not np.isfinite(metrics[-1]).all():
                    break
            if not under_way:
                self._take_over(done + len(metrics))
            if metrics:
                now = time.perf_counter()
                results = StepResults(
                    done + 1, np.stack(metrics), now - started, 0.0, self._is_warmup
                )
                started, self._is_warmup = now, False
                done += len(metrics)
                yield results
                if not results.is_finite:
                    return

    def _is_time(self, started: float, num_results: int) -> bool:
        """Returns whether to give what there is; the first time, all workers have compiled."""
        is_due = time.perf_counter() - started > _SECONDS_PER_RESULT
        return is_due and num_results >= self._most_under_way

    def _hand_out(self, batch: tuple[tf.Tensor, tf.Tensor]) -> _StepUnderWay:
        result = self._coordinator.schedule(self._train_step, args=(self._examples, *batch))
        return _StepUnderWay(batch, result)

    def _fetch(self, step: _StepUnderWay) -> np.ndarray:
        """Waits for a step, and returns its metrics; see _train_step_fn.

        They lie on the worker that trained it. Where that was lost before they were fetched, the
        step is trained again, as the coordinator does with one that was lost halfway.
        """
        while True:
            try:
                return step.result.fetch()
            except tf.errors.OpError as error:
                # The coordinator's own judgement, which knows what a lost worker looks like.
                if not cluster_coordinator._is_worker_failure(error):
                    raise
                step = self._hand_out(step.batch)

    def _take_over(self, step: int) -> None:
        """Brings the chief's own state up to date, after `step` steps; none is under way."""
        self._agreement.count()
        self._state.restore(Checkpoint(self._remote.to_arrays(), self._state.progress))
        self._state.optimizer.iterations.assign(step)

    def _train_step_fn(self, examples, numbers: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Trains one step on a worker.

        Args:
            examples: this worker's, without end: images and labels of the whole split.
            numbers: int64 [1 + rows]: the step (0-based), and which examples it sees.
            draws: float32 [rows, numbers that augmentation needs].

        Returns:
            float32 [4]; see StepResults.metrics.
        """
        images, labels = next(examples)
        images, labels = tf.gather(images, numbers[1:]), tf.gather(labels, numbers[1:])
        step = numbers[0]
        with batch_statistics.momentum_of_step(self._remote.model, step):
            return self._remote.strategy.run(self._replica_step, args=(images, labels, draws, step))

    def _replica_step(self, images, labels, draws, step: tf.Tensor) -> tf.Tensor:
        model, optimizer = self._remote.model, self._remote.optimizer
        targets = tf.one_hot(labels, self._num_classes)
        if self._augmentation.names:
            images, targets = self._augmentation(images, labels, draws)
        share = self._config.label_smoothing
        targets = targets * (1 - share) + share / self._num_classes
        with tf.GradientTape() as tape, randomness.step_seed(self._config.seed, step):
            logits = model(images, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.add_n([tf.reduce_mean(losses), *model.losses])
        gradients = tape.gradient(
            loss,
            [weight.value for weight in model.trainable_variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        _apply(optimizer, gradients, model.trainable_variables, step)
        return tf.stack(
            [
                loss,
                tf.reduce_sum(tf.cast(correct, tf.float32)),
                tf.linalg.global_norm(gradients),
                self._schedule(step),
            ]
        )


def batches(
    config: TrainConfig, source: ArraySource, first_step: int, last_step: int, num_draws: int
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields `numbers` and `draws` of each step (ParameterServerEngine._train_step_fn)."""
    num_steps = blocks.training_block_steps(
        blocks.index_bytes(num_draws), config.global_batch_size, last_step, 0,
        most=blocks.MAX_BLOCK_STEPS,
    )  # fmt: skip
    step = first_step
    no_draws = np.empty([config.global_batch_size, 0], np.float32)
    for block in training_blocks(
        source, None,
        seed=config.seed, first_step=first_step, last_step=last_step,
        global_batch_size=config.global_batch_size, steps_per_block=num_steps,
        num_draws=num_draws, balance=config.balance,
    ):  # fmt: skip
        indices = block["indices"].numpy()
        draws = block["draws"].numpy() if num_draws else [no_draws] * len(indices)
        for of_step, drawn in zip(indices, draws):
            # One tensor: each argument is a message of its own.
            yield tf.constant(np.append(step, of_step), tf.int64), tf.constant(drawn)
            step += 1


def _in_memory(source: ArraySource) -> Callable[[], tf.data.Dataset]:
    """Returns what gives a worker all examples, again and again: images and labels, not copied."""
    with tf.device("/cpu:0"):
        tensors = tf.constant(source.images), tf.constant(source.labels)
    return lambda: tf.data.Dataset.from_tensors(tensors).repeat()


def _apply(
    optimizer: keras.Optimizer,
    gradients: list[tf.Tensor],
    weights: list[keras.Variable],
    step: tf.Tensor,
) -> None:
    """Applies gradients as those of a step (0-based), whatever other workers do meanwhile."""
    counter = optimizer._iterations
    # Keras reads the counter and writes back one more: of two workers at once, one is not counted.
    optimizer._iterations = _Step(step)
    try:
        optimizer.apply(gradients, weights)
    finally:
        optimizer._iterations = counter


class _Step:
    """Stands in for an optimizer's counter: the step that is told, counted elsewhere."""

    dtype = "int64"

    def __init__(self, step: tf.Tensor):
        self._step = step

    def __add__(self, number: int) -> tf.Tensor:
        return self._step + number

    def __tf_tensor__(self, dtype=None, name=None) -> tf.Tensor:
        return tf.convert_to_tensor(self._step, dtype, name=name)

    def assign_add(self, number: int) -> None: ...
