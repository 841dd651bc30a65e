"""Blocks: several global batches in one piece, so that one call can train many steps.

A block is a dictionary of tensors whose first two dimensions are [steps, rows]: the rows of the
global batch of each step. Only uint8 images cross to the device; casting and augmentation run
there. A replica's share of a block is a slice of its rows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from flowrate.ahead import ahead
from flowrate.environment import num_cpus
from flowrate.errors import DataError
from input_pipelines import _decode
from input_pipelines._order import example_indices
from input_pipelines._source import ArraySource, Source

# Blocks made ready ahead of the one in use.
_PREFETCHED_BLOCKS = 2
# One salt for augmentation, so that its draws have nothing to do with the order's.
_AUGMENTATION_SALT = 0x5EED


def training_blocks(
    source: Source,
    image_shape: tuple[int, int, int] | None,
    *,
    seed: int,
    first_step: int,
    last_step: int,
    global_batch_size: int,
    steps_per_block: int,
    num_draws: int = 0,
) -> Iterator[dict[str, tf.Tensor]]:
    """Yields the blocks that hold steps `first_step` (0-based) to `last_step` (exclusive).

    The last block is as long as the others: it reaches past `last_step`, into examples that no
    step uses, so that the compiled step meets one shape only.

    Args:
        source: N examples.
        image_shape: (height, width, channels) of the images in `source`, or to decode to; None to
            leave the images out and give their indices, for whoever holds them already.
        seed: of the run.
        first_step: where to start.
        last_step: where to end.
        global_batch_size: rows of a step, over all replicas.
        steps_per_block: steps in a block.
        num_draws: random numbers that augmentation needs for each example.

    Yields:
        images uint8 [steps, rows, height, width, channels] or indices int64 [steps, rows], labels
        int32 [steps, rows], and, where asked for, draws float32 [steps, rows, num_draws], uniform
        in [0, 1).

    Raises:
        DataError: a file that cannot be decoded, named.
    """
    num_blocks = math.ceil((last_step - first_step) / steps_per_block)
    rows_per_block = steps_per_block * global_batch_size

    def indices_of(block: tf.Tensor) -> tf.Tensor:
        first = first_step * global_batch_size + block * rows_per_block
        positions = first + tf.range(rows_per_block, dtype=tf.int64)
        return example_indices(positions, len(source), seed)

    name, shape = ("indices", ()) if image_shape is None else ("images", image_shape)

    def finish(block: tf.Tensor, examples: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        lead = [steps_per_block, global_batch_size]
        result = {name: tf.reshape(examples, [*lead, *shape]), "labels": tf.reshape(labels, lead)}
        if num_draws:
            steps = first_step + block * steps_per_block + tf.range(steps_per_block, dtype=tf.int64)
            result["draws"] = _draws(steps, seed, global_batch_size, num_draws)
        return result

    yield from _blocks(source, image_shape, num_blocks, rows_per_block, indices_of, finish)


def evaluation_blocks(
    source: Source,
    image_shape: tuple[int, int, int],
    *,
    global_batch_size: int,
    steps_per_block: int,
) -> Iterator[dict[str, tf.Tensor]]:
    """Yields all examples in order; what fills up the last block has weight 0.

    Args:
        source: N examples.
        image_shape: (height, width, channels) of the images in `source`, or to decode to.
        global_batch_size: rows of a step, over all replicas.
        steps_per_block: steps in a block.

    Yields:
        images uint8 [steps, rows, height, width, channels], labels int32 [steps, rows] and weights
        float32 [steps, rows]: 1 for each example once, 0 for padding.

    Raises:
        DataError: a file that cannot be decoded, named.
    """
    rows_per_block = steps_per_block * global_batch_size
    num_blocks = math.ceil(len(source) / rows_per_block)

    def positions_of(block: tf.Tensor) -> tf.Tensor:
        return block * rows_per_block + tf.range(rows_per_block, dtype=tf.int64)

    def indices_of(block: tf.Tensor) -> tf.Tensor:
        # Padding repeats the last example: a real image, so that no kernel meets odd values.
        return tf.minimum(positions_of(block), len(source) - 1)

    def finish(block: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        lead = [steps_per_block, global_batch_size]
        weights = tf.cast(positions_of(block) < len(source), tf.float32)
        return {
            "images": tf.reshape(images, [*lead, *image_shape]),
            "labels": tf.reshape(labels, lead),
            "weights": tf.reshape(weights, lead),
        }

    yield from _blocks(source, image_shape, num_blocks, rows_per_block, indices_of, finish)


def _blocks(source, image_shape, num_blocks, rows_per_block, indices_of, finish):
    """Yields finished blocks, in order whatever runs in parallel."""
    # Input runs on the host, also where an accelerator is the default device.
    if image_shape is None or isinstance(source, ArraySource):
        make = _array_block_maker(source, image_shape, indices_of, finish)
        yield from ahead(map(make, range(num_blocks)), _PREFETCHED_BLOCKS)
    else:
        with tf.device("/cpu:0"):
            dataset = _file_blocks(
                source, image_shape, num_blocks, rows_per_block, indices_of, finish
            )
        yield from _named_errors(dataset, source, image_shape, indices_of)


def _array_block_maker(source, image_shape, indices_of, finish):
    """Returns the function: number of a block -> the block, gathered from arrays.

    By numpy: a tf.constant of the images would be a second copy of the data set, and a memory map
    cannot be one. And not inside tf.data: its thread would need Python's lock, which whoever drops
    the iterator holds while waiting for that thread; the process then hangs for ever.
    """
    indices_of = tf.function(indices_of, autograph=False)
    finish = tf.function(finish, autograph=False)

    def make(number: int) -> dict[str, tf.Tensor]:
        with tf.device("/cpu:0"):
            block = tf.constant(number, tf.int64)
            indices = indices_of(block).numpy()
            examples = indices if image_shape is None else source.images[indices]
            return finish(block, tf.constant(examples), tf.constant(source.labels[indices]))

    return make


def _file_blocks(source, image_shape, num_blocks, rows_per_block, indices_of, finish):
    """Returns a tf.data.Dataset of finished blocks, decoded from files."""
    blocks = tf.data.Dataset.range(num_blocks)
    labels = tf.constant(source.labels)
    paths = tf.constant([os.fsencode(path) for path in source.paths])
    images = _decode.map_in_order(
        _decode.map_in_order(blocks, indices_of).unbatch(),
        lambda index: (_decode.decode(paths[index], image_shape), labels[index]),
        num_parallel_calls=num_cpus(),
    ).batch(rows_per_block, drop_remainder=True)
    pairs = tf.data.Dataset.zip(blocks, images)
    dataset = _decode.map_in_order(pairs, lambda block, examples: finish(block, *examples))
    return dataset.prefetch(_PREFETCHED_BLOCKS).with_options(_decode.decoding_options())


def _draws(steps: tf.Tensor, seed: int, rows: int, num_draws: int) -> tf.Tensor:
    """Returns float32 [steps, rows, num_draws]: for each step a function of (seed, step) alone.

    Drawn here, on the host, for the global batch: under XLA and on other devices the same seed
    gives other numbers, so a draw inside the step would depend on where it runs.
    """

    def draw(step: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed * 2**16 + _AUGMENTATION_SALT, tf.int64), step])
        return tf.random.stateless_uniform([rows, num_draws], key, alg="philox")

    spec = tf.TensorSpec([rows, num_draws], tf.float32)
    return tf.map_fn(draw, steps, fn_output_signature=spec)


def _named_errors(dataset, source, image_shape, indices_of):
    """Yields the dataset's blocks; a file that cannot be decoded becomes a DataError naming it."""
    iterator = iter(dataset)
    for block in range(len(dataset)):
        try:
            yield next(iterator)
        except tf.errors.OpError as error:
            # Decoding runs ahead of what is delivered, but errors come in their place in the order.
            indices = np.asarray(indices_of(tf.constant(block, tf.int64)))
            message = _decode.find_undecodable(source, indices, image_shape)
            raise DataError(message or " ".join(str(error.message).split())) from None
