"""The order of examples: a function of (seed, epoch, position) and of nothing else.

Position p of a run lies in epoch p // N, at place p % N of that epoch's permutation of 0..N-1.
Nothing is shuffled in a buffer and no state is kept, so a run may start at any position, on any
number of replicas, and see what an undisturbed run sees there. Each epoch holds every example once.

With `--balance` it is a function of (seed, position): see _balanced_order.py.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from input_pipelines.balanced_order import Classes, balanced_order
from input_pipelines.images.decode import map_in_order


def example_indices(
    first: int, last: int, num_examples: int, seed: int, balanced: Classes | None = None
) -> np.ndarray:
    """Returns which examples stand at the positions `first` to `last` (exclusive) of the run.

    Args:
        first: at least 0; the positions may span epochs.
        last: at least `first`.
        num_examples: N, at least 1.
        seed: of the run.
        balanced: the classes of the examples, to show each equally often.

    Returns:
        int64 [last - first], each in [0, N).
    """
    parts = [np.empty(0, np.int64)]
    while first < last:
        epoch, place = divmod(first, _epoch_length(num_examples, balanced))
        part = _kept_order(epoch, num_examples, seed, balanced)[place : place + last - first]
        parts.append(part)
        first += len(part)
    return np.concatenate(parts)


def example_index_dataset(
    first: int, num_examples: int, seed: int, balanced: Classes | None = None
) -> tf.data.Dataset:
    """Returns the same as int64 scalars, one after the other from position `first`, without end."""
    first_epoch, place = divmod(first, _epoch_length(num_examples, balanced))

    def rest_of(epoch: tf.Tensor) -> tf.Tensor:
        order = _order(epoch, num_examples, seed, balanced)
        return order[tf.where(epoch == first_epoch, place, 0) :]

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    # The next epoch is made while one is read.
    return map_in_order(epochs, rest_of).prefetch(1).unbatch()


def epoch_order(epoch: int | tf.Tensor, num_examples: int, seed: int) -> np.ndarray | tf.Tensor:
    """Returns the permutation of an epoch: int64 [num_examples]; inside a graph, a tensor of it.

    Examples are sorted by random numbers: all orders are equally likely, and epochs have nothing to
    do with each other. The generator, Philox (J. Salmon et al., "Parallel random numbers: as easy
    as 1, 2, 3", 2011), gives the same numbers in every version of TensorFlow.
    """
    draws = _draws(
        tf.constant(num_examples, tf.int64), tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)
    )
    if tf.executing_eagerly():  # NumPy sorts with vector instructions, five times as fast.
        draws, numbers, sort = draws.numpy(), np.arange(num_examples), np.sort
    else:
        numbers, sort = tf.range(num_examples, dtype=tf.int64), tf.sort
    # The lowest bits are the example's number: no two are equal, and to sort them is all it takes.
    number_bits = 2 ** (num_examples - 1).bit_length() - 1
    return sort(draws & ~number_bits | numbers) & number_bits


# As a function it costs a quarter where it is not inside a graph: small sets have many epochs.
@tf.function(autograph=False)
def _draws(num_examples: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(
        [num_examples], [seed, epoch], None, None, tf.int64, alg="philox"
    )


def _epoch_length(num_examples: int, balanced: Classes | None) -> int:
    """Returns how many positions `_order` gives."""
    return balanced.num_positions if balanced else num_examples


def _order(
    epoch: int | tf.Tensor, num_examples: int, seed: int, balanced: Classes | None
) -> np.ndarray | tf.Tensor:
    if balanced:
        return balanced_order(epoch, balanced, seed)
    return epoch_order(epoch, num_examples, seed)


# Two: a block may span the end of an epoch.
@functools.lru_cache(maxsize=2)
def _kept_order(epoch: int, num_examples: int, seed: int, balanced: Classes | None) -> np.ndarray:
    with tf.device("/cpu:0"):
        return np.asarray(_order(epoch, num_examples, seed, balanced))
