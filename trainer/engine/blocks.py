"""Blocks on their way to the replicas: how long they are, and who gets which rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from flowrate.ahead import ahead

# A block is held several times over (prefetched, placed, augmented), so it is kept small; and
# beyond this many steps the cost of a call is spread thin enough.
_MAX_BLOCK_BYTES = 32 * 2**20
MAX_BLOCK_STEPS = 256
# Where only indices travel, a block may be longer: an epoch of 60,000 examples at batch 32.
MAX_INDEX_BLOCK_STEPS = 2048
# Evaluation needs no small batches; these keep its memory near that of a training step.
_EVALUATION_BATCH_BYTES = 2**18
_EVALUATION_BATCH_ROWS = 512


def training_block_steps(
    example_bytes: int, global_batch_size: int, num_steps: int, steps_per_call: int, most: int
) -> int:
    """Returns how many steps a block holds.

    Args:
        example_bytes: what an example takes in the block.
        global_batch_size: examples per step.
        num_steps: steps in the whole run; a block is never longer.
        steps_per_call: what the user asked for, or 0.
        most: steps that are never exceeded, unless the user asks for more.
    """
    if steps_per_call:
        return min(steps_per_call, num_steps)
    batch_bytes = global_batch_size * example_bytes
    return max(1, min(_MAX_BLOCK_BYTES // batch_bytes, most, num_steps))


def index_bytes(num_draws: int) -> int:
    """Returns the bytes an example takes where its image is on the devices already."""
    return np.dtype(np.int64).itemsize + np.dtype(np.int32).itemsize * (1 + num_draws)


def evaluation_batch_size(image_shape: tuple[int, int, int], global_batch_size: int) -> int:
    """Returns a multiple of the training batch, larger where images are small."""
    batch_bytes = global_batch_size * int(np.prod(image_shape))
    factor = min(
        _EVALUATION_BATCH_BYTES // batch_bytes, _EVALUATION_BATCH_ROWS // global_batch_size
    )
    return global_batch_size * max(1, factor)


def evaluation_block_steps(num_examples: int, batch_size: int, image_shape: tuple) -> int:
    """Returns how many steps a block of an evaluation holds: as even as they come out."""
    num_steps = math.ceil(num_examples / batch_size)
    most = max(1, _MAX_BLOCK_BYTES // (batch_size * int(np.prod(image_shape))))
    return math.ceil(num_steps / math.ceil(num_steps / most))


def placed_ahead(
    strategy: tf.distribute.Strategy, blocks: Iterator[dict[str, tf.Tensor]]
) -> Iterator[dict]:
    """Yields the blocks, placed; a thread brings the next one to the devices meanwhile."""
    return ahead((place(strategy, block) for block in blocks), 1)


def place(strategy: tf.distribute.Strategy, block: dict[str, tf.Tensor]) -> dict:
    """Brings each replica of this worker its rows of a block.

    Args:
        block: tensors [steps, rows, ...], of this worker's share of each batch.

    Returns:
        The same names; with several replicas each tensor is a PerReplica of [steps, rows / R, ...]
        over the R replicas of this worker, each on its device.
    """
    if strategy.num_replicas_in_sync == 1:
        return {name: tf.identity(tensor) for name, tensor in block.items()}

    devices = strategy.extended.worker_devices

    def rows_of(name: str):
        tensor = block[name]
        rows = tensor.shape[1] // len(devices)

        def slice_rows(context: tf.distribute.ValueContext) -> tf.Tensor:
            replica = local_replica(strategy, context)
            with tf.device("/cpu:0"):  # Only its own rows cross to a device.
                share = tensor[:, replica * rows : (replica + 1) * rows]
            with tf.device(devices[replica]):
                return tf.identity(share)

        return slice_rows

    return {
        name: strategy.experimental_distribute_values_from_function(rows_of(name)) for name in block
    }


def local_replica(strategy: tf.distribute.Strategy, context: tf.distribute.ValueContext) -> int:
    """Returns which of this worker's replicas a value is for; workers have as many each."""
    return context.replica_id_in_sync_group % len(strategy.extended.worker_devices)
