"""The order of examples: a function of (seed, epoch, position) and of nothing else.

Position p of a run lies in epoch p // N, at place p % N of that epoch's permutation of 0..N-1.
Nothing is shuffled in a buffer and no state is kept, so a run may start at any position, on any
number of replicas, and see what an undisturbed run sees there. Each epoch holds every example once.

With `--balance` it is a function of (seed, position): see balanced_order.py.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from input_pipelines.balanced_order import Classes, balanced_order


def example_indices(
    first: int, last: int, num_examples: int, seed: int, balanced: Classes | None = None
) -> np.ndarray:
    """Returns which examples stand at the positions `first` to `last` (exclusive) of the run.

    Args:
        first: at least 0; the positions may span epochs.
        last: at least `first`.
        num_examples: N, at least 1.
        balanced: the classes of the examples, to show each equally often.

    Returns:
        int64 [last - first], each in [0, N).
    """
    parts = [np.empty(0, np.int64)]
    while first < last:
        number, place = divmod(first, balanced.num_positions if balanced else num_examples)
        part = _kept_order(number, num_examples, seed, balanced)[place : place + last - first]
        parts.append(part)
        first += len(part)
    return np.concatenate(parts)


def epoch_order(epoch: int, num_examples: int, seed: int) -> np.ndarray:
    """Returns the permutation of an epoch: int64 [num_examples].

    Examples are sorted by random numbers: all orders are equally likely, and epochs have nothing to
    do with each other. The generator, Philox (J. Salmon et al., "Parallel random numbers: as easy
    as 1, 2, 3", 2011), gives the same numbers in every version of TensorFlow.
    """
    draws = _draws(*(tf.constant(number, tf.int64) for number in (num_examples, seed, epoch)))
    # The lowest bits are the example's number: no two are equal, and to sort them is all it takes.
    # NumPy sorts with vector instructions, five times as fast as TensorFlow.
    number_bits = 2 ** (num_examples - 1).bit_length() - 1
    return np.sort(draws.numpy() & ~number_bits | np.arange(num_examples)) & number_bits


# As a function it costs a quarter: small sets have many epochs.
@tf.function(autograph=False)
def _draws(num_examples: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(
        [num_examples], [seed, epoch], None, None, tf.int64, alg="philox"
    )


# Two: a block may span the end of an epoch.
@functools.lru_cache(maxsize=2)
def _kept_order(part: int, num_examples: int, seed: int, balanced: Classes | None) -> np.ndarray:
    if balanced:
        return balanced_order(part, balanced, seed)
    with tf.device("/cpu:0"):
        return epoch_order(part, num_examples, seed)
