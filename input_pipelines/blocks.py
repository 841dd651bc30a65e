"""Blocks: several global batches in one piece, so that one call can train many steps.

A block is a dictionary of tensors whose first two dimensions are [steps, rows]: the rows of the
global batch of each step. Only uint8 images cross to the device; casting and augmentation run
there. A replica's share of a block is a slice of its rows; a worker of several makes its own only.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Generator, Iterator

import numpy as np
import tensorflow as tf

from flowrate.ahead import ahead
from flowrate.environment import num_cpus
from flowrate.errors import DataError
from input_pipelines.balanced_order import Classes
from input_pipelines.images import decode as _decode
from input_pipelines.order import example_indices
from input_pipelines.source import ArraySource, Source

# Blocks made ready ahead of the one in use.
_PREFETCHED_BLOCKS = 2
# Of the first pipeline, and of the largest: each is twice as long as the one before, so that the
# first block waits for few indices, and all of them take some MiB.
_PIPELINE_EXAMPLES, _MAX_PIPELINE_EXAMPLES = 2**14, 2**20
# One salt for augmentation, so that its draws have nothing to do with the order's.
_AUGMENTATION_SALT = 0x5EED


@dataclasses.dataclass(frozen=True)
class Share:
    """Which rows of every global batch are made: part `index` of `count` equal ones."""

    index: int = 0
    count: int = 1

    def num_rows(self, global_batch_size: int) -> int:
        """Returns how many rows of a batch these are."""
        return global_batch_size // self.count

    def rows(self, global_batch_size: int) -> slice:
        """Returns which rows of a batch these are."""
        num_rows = self.num_rows(global_batch_size)
        return slice(self.index * num_rows, (self.index + 1) * num_rows)


WHOLE = Share()


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
    share: Share = WHOLE,
    balance: bool = False,
) -> Generator[dict[str, tf.Tensor], None, None]:
    """Yields the blocks that hold steps `first_step` (0-based) to `last_step` (exclusive).

    The last block is as long as the others: it reaches past `last_step`, into examples that no
    step uses, so that the compiled step meets one shape only.

    Args:
        source: N examples.
        image_shape: (height, width, channels) of the images in `source`, or to decode to; None to
            leave the images out and give their indices, for whoever holds them already.
        global_batch_size: rows of a step, over all replicas.
        steps_per_block: steps in a block.
        num_draws: random numbers that augmentation needs for each example.
        share: the part of each batch that is made.

    Yields:
        images uint8 [steps, rows, height, width, channels] or indices int64 [steps, rows], labels
        int32 [steps, rows], and, where asked for, draws float32 [steps, rows, num_draws], uniform
        in [0, 1).

    Raises:
        DataError: a file that cannot be decoded, named.
    """
    num_blocks = math.ceil((last_step - first_step) / steps_per_block)
    num_examples, balanced = len(source), Classes.of(source.labels) if balance else None

    def of_block(block: int) -> np.ndarray:
        first = (first_step + block * steps_per_block) * global_batch_size
        last = first + steps_per_block * global_batch_size
        indices = example_indices(first, last, num_examples, seed, balanced)
        return _share_of(indices, global_batch_size, share)

    name, shape = ("indices", ()) if image_shape is None else ("images", image_shape)

    def finish(block: tf.Tensor, examples: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        lead = [steps_per_block, share.num_rows(global_batch_size)]
        result = {name: tf.reshape(examples, [*lead, *shape]), "labels": tf.reshape(labels, lead)}
        if num_draws:
            steps = first_step + block * steps_per_block + tf.range(steps_per_block, dtype=tf.int64)
            draws = _draws(steps, seed, global_batch_size, num_draws)
            result["draws"] = draws[:, share.rows(global_batch_size)]
        return result

    yield from _blocks(source, image_shape, num_blocks, of_block, finish)


def evaluation_blocks(
    source: Source,
    image_shape: tuple[int, int, int],
    *,
    global_batch_size: int,
    steps_per_block: int,
    share: Share = WHOLE,
) -> Iterator[dict[str, tf.Tensor]]:
    """Yields all examples in order; what fills up the last block has weight 0.

    Args:
        source: N examples.
        image_shape: (height, width, channels) of the images in `source`, or to decode to.
        global_batch_size: rows of a step, over all replicas.
        steps_per_block: steps in a block.
        share: the part of each batch that is made.

    Yields:
        images uint8 [steps, rows, height, width, channels], labels int32 [steps, rows] and weights
        float32 [steps, rows]: 1 for each example once, 0 for padding.

    Raises:
        DataError: a file that cannot be decoded, named.
    """
    num_examples = steps_per_block * global_batch_size
    num_blocks = math.ceil(len(source) / num_examples)
    offsets = _share_of(np.arange(num_examples), global_batch_size, share)

    def of_block(block: int) -> np.ndarray:
        # Padding repeats the last example: a real image, so that no kernel meets odd values.
        return np.minimum(block * num_examples + offsets, len(source) - 1)

    def finish(block: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        lead = [steps_per_block, share.num_rows(global_batch_size)]
        weights = tf.cast(block * num_examples + offsets < len(source), tf.float32)
        return {
            "images": tf.reshape(images, [*lead, *image_shape]),
            "labels": tf.reshape(labels, lead),
            "weights": tf.reshape(weights, lead),
        }

    yield from _blocks(source, image_shape, num_blocks, of_block, finish)


def _share_of(indices: np.ndarray, global_batch_size: int, share: Share) -> np.ndarray:
    """Returns the share's rows of whole batches that lie one after the other."""
    return indices.reshape(-1, global_batch_size)[:, share.rows(global_batch_size)].reshape(-1)


def _blocks(source, image_shape, num_blocks, of_block, finish):
    """Yields finished blocks, in order whatever runs in parallel.

    Args:
        source: of the examples.
        image_shape: (height, width, channels); None: indices in place of images.
        num_blocks: how many.
        of_block: the number of a block -> its examples' indices, int64 [n].
        finish: number (int64 tensor), images or indices, and labels -> the block.
    """
    finish = tf.function(finish, autograph=False)
    if image_shape is None or isinstance(source, ArraySource):
        make = _array_block_maker(source, image_shape, of_block, finish)
        yield from ahead(map(make, range(num_blocks)), _PREFETCHED_BLOCKS)
    else:
        yield from _file_blocks(source, image_shape, num_blocks, of_block, finish)


def _array_block_maker(source, image_shape, of_block, finish):
    """Returns the function: number of a block -> the block, gathered from arrays.

    By numpy: a tf.constant of the images would be a second copy of the data set, and a memory map
    cannot be one. And not inside tf.data: its thread would need Python's lock, which whoever drops
    the iterator holds while waiting for that thread; the process then hangs for ever.
    """

    def make(number: int) -> dict[str, tf.Tensor]:
        # Input runs on the host, also where an accelerator is the default device.
        with tf.device("/cpu:0"):
            indices = of_block(number)
            examples = indices if image_shape is None else source.images[indices]
            labels = tf.constant(source.labels[indices])
            return finish(tf.constant(number, tf.int64), tf.constant(examples), labels)

    return make


def _file_blocks(source, image_shape, num_blocks, of_block, finish):
    """Yields finished blocks, decoded from files by tf.data.

    Raises:
        DataError: a file that cannot be decoded, named.
    """
    with tf.device("/cpu:0"):
        labels = tf.constant(source.labels)
        paths = tf.constant([os.fsencode(path) for path in source.paths])
        orientations = tf.constant(source.orientations)

    @tf.function(autograph=False)  # Traced once, whatever the number of pipelines.
    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _decode.decode(paths[index], image_shape, orientations[index]), labels[index]

    first, num_examples = 0, _PIPELINE_EXAMPLES
    while first < num_blocks:
        last = min(num_blocks, first + -(-num_examples // len(of_block(first))))
        part = [of_block(block) for block in range(first, last)]
        with tf.device("/cpu:0"):
            indices = tf.data.Dataset.from_tensor_slices(np.concatenate(part))
            examples = _decode.map_in_order(indices, read, num_parallel_calls=num_cpus())
            pairs = tf.data.Dataset.zip(
                tf.data.Dataset.range(first, last),
                examples.batch(len(part[0]), drop_remainder=True),
            )
            dataset = _decode.map_in_order(pairs, lambda number, batch: finish(number, *batch))
            dataset = dataset.prefetch(_PREFETCHED_BLOCKS)
            iterator = iter(dataset.with_options(_decode.decoding_options()))
        for wanted in part:
            try:
                yield next(iterator)
            except tf.errors.OpError as error:
                # Decoding runs ahead of what is delivered, but errors come in their place.
                message = _decode.find_undecodable(source, wanted, image_shape)
                raise DataError(message or " ".join(str(error.message).split())) from None
        first, num_examples = last, min(2 * num_examples, _MAX_PIPELINE_EXAMPLES)


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
