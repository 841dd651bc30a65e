"""The batches of a run on the replicas' devices, a block of steps at a time.

    images of the block   carried from the host with the block (`--cache` none, memory, disk)
    images of the set     all on every device, a batch gathered inside the step (`--cache=device`);
                          the host sends indices and labels only

Both give the same examples in the same order.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.blocks import WHOLE, Share, training_blocks
from input_pipelines.source import ArraySource, Source
from trainer.config import TrainConfig
from trainer.engine import blocks

# What a compiled call is given: tensors, or PerReplica values, by name.
Inputs = dict[str, Any]


class Batches:
    """Hands out the batches of a run; the position within the block is the caller's to advance.

    Args:
        config: what was asked for.
        source: the training split.
        strategy: whose replicas share each batch.
        image_shape: (height, width, channels) that the model gets.
        num_classes: length of a target.
        first_step: steps done already.
        total_steps: where the run ends.
        augmentation: applied to each batch.
        is_resident: keep the whole source on every device; it must be an ArraySource.
        augment_in_step: augment each batch within its step, else a whole block ahead of them:
            XLA has no kernel for the resampling.
        share: the part of each batch that is this worker's.

    Attributes:
        steps_per_block: steps in a block; every block has as many.
        position: steps of the block that are used up.
        host_blocks: starts the input from the run's first step, as it comes from the host.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        strategy: tf.distribute.Strategy,
        image_shape: tuple[int, int, int],
        num_classes: int,
        *,
        first_step: int,
        total_steps: int,
        augmentation: Augmentation,
        is_resident: bool,
        augment_in_step: bool,
        share: Share = WHOLE,
    ):
        self._strategy = strategy
        self._num_classes = num_classes
        self._augmentation = augmentation
        self._augments_in_step = bool(augmentation.names) and augment_in_step
        self._augments_blocks = bool(augmentation.names) and not augment_in_step
        # A block holds images where they come from the host, and where it is augmented.
        example_bytes = int(np.prod(image_shape))
        if is_resident and not self._augments_blocks:
            example_bytes = blocks.index_bytes(augmentation.num_draws)
        self.steps_per_block = blocks.training_block_steps(
            example_bytes, config.global_batch_size, total_steps, config.steps_per_call,
            most=blocks.MAX_INDEX_BLOCK_STEPS if is_resident else blocks.MAX_BLOCK_STEPS,
        )  # fmt: skip
        self.position = self.steps_per_block  # as if one had just been used up
        self.host_blocks = functools.partial(
            training_blocks, source, None if is_resident else image_shape,
            seed=config.seed, first_step=first_step, last_step=total_steps,
            global_batch_size=config.global_batch_size, steps_per_block=self.steps_per_block,
            num_draws=augmentation.num_draws, share=share, balance=config.balance,
        )  # fmt: skip
        self._blocks = blocks.placed_ahead(strategy, self.host_blocks())
        self._resident = None
        if is_resident:
            assert isinstance(source, ArraySource)
            self._resident = _put_on_devices(strategy, source)
        self._augment_block = tf.function(self._augment_block_fn, autograph=False)
        self._fetched: Inputs | None = None
        self._inputs: Inputs = {}

    def start_from(self, step: int) -> None:
        """Goes on after `step` steps, wherever it stood."""
        self._blocks = blocks.placed_ahead(self._strategy, self.host_blocks(first_step=step))
        self._fetched = None
        self.position = self.steps_per_block

    @property
    def steps_left(self) -> int:
        """Steps of the block that are not used up."""
        return self.steps_per_block - self.position

    @property
    def holds_block(self) -> bool:
        """Whether there is a block, used up or not."""
        return self._fetched is not None or bool(self._inputs)

    def wait(self) -> float:
        """Fetches the next block where one is used up; returns the seconds spent waiting.

        Raises:
            DataError: a file cannot be decoded.
        """
        if self.steps_left:
            return 0.0
        started = time.perf_counter()
        self._fetched = next(self._blocks)
        self.position = 0
        return time.perf_counter() - started

    def inputs(self) -> Inputs:
        """Returns the block for the compiled steps."""
        if self._fetched is not None:
            self._inputs = self._fetched
            self._fetched = None
            if self._resident is not None:
                self._inputs["set_images"] = self._resident
            if self._augments_blocks:
                self._inputs = self._augment_block(self._inputs)
        return self._inputs

    def batch(self, inputs: Inputs, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns a replica's rows of a step; for use inside `strategy.run`.

        Args:
            inputs: of this replica.
            position: int32 scalar, the step within the block.

        Returns:
            images uint8 [rows, height, width, channels], labels int32 [rows] as the data set has
            them, and targets float32 [rows, num_classes] as augmentation has mixed them.
        """
        labels = inputs["labels"][position]
        if "targets" in inputs:
            return inputs["images"][position], labels, inputs["targets"][position]
        images = _images(inputs, position)
        if not self._augments_in_step:
            return images, labels, tf.one_hot(labels, self._num_classes)
        images, targets = self._augmentation(images, labels, inputs["draws"][position])
        return images, labels, targets

    def sample_images(self, num_images: int) -> np.ndarray:
        """Returns the first images of the block's first step as the model gets them.

        Returns:
            uint8 [at most num_images, height, width, channels], of the first replica.
        """
        first = {
            name: self._strategy.experimental_local_results(value)[0]
            for name, value in self.inputs().items()
        }
        images, _, _ = self.batch(first, tf.constant(0))
        return images[:num_images].numpy()

    def _augment_block_fn(self, inputs: Inputs) -> Inputs:
        return self._strategy.run(self._augment_replica, args=(inputs,))

    def _augment_replica(self, inputs: Inputs) -> Inputs:
        """Augments all steps of a block at once; rows keep their places."""
        labels, draws = inputs["labels"], inputs["draws"]
        images = _images(inputs, slice(None))
        lead = images.shape[:2]

        def merge(tensor: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tensor, [lead[0] * lead[1], *tensor.shape[2:]])

        augmented, targets = self._augmentation(merge(images), merge(labels), merge(draws))
        return {
            "images": tf.reshape(augmented, images.shape),
            "labels": labels,
            "targets": tf.reshape(targets, [*lead, self._num_classes]),
        }


def _images(inputs: Inputs, position: tf.Tensor | slice) -> tf.Tensor:
    if "set_images" in inputs:
        return tf.gather(inputs["set_images"], inputs["indices"][position])
    return inputs["images"][position]


def _put_on_devices(strategy: tf.distribute.Strategy, source: ArraySource) -> Any:
    """Returns all images, uint8 [N, height, width, channels], on the device of every replica."""
    if strategy.num_replicas_in_sync == 1:
        return tf.constant(source.images)
    devices = strategy.extended.worker_devices

    def copy(context: tf.distribute.ValueContext) -> tf.Tensor:
        with tf.device(devices[blocks.local_replica(strategy, context)]):
            return tf.constant(source.images)

    return strategy.experimental_distribute_values_from_function(copy)
