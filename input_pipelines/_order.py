"""The order of examples: a function of (seed, epoch, position) and of nothing else.

Position p of a run lies in epoch p // N; the example is found by a keyed permutation of 0..N-1.
Nothing is shuffled in a buffer and no state is kept, so a run may start at any position, on any
number of replicas, and see what an undisturbed run sees there. Each epoch holds every example once.
"""

from __future__ import annotations

import tensorflow as tf

_ROUNDS = 4  # of the block cipher; TensorFlow's own default for index_shuffle


def example_indices(positions: tf.Tensor, num_examples: int, seed: int) -> tf.Tensor:
    """Returns which example stands at each position of the run.

    Args:
        positions: int64 [n], each at least 0; they may span epochs.
        num_examples: N, at least 1.
        seed: of the run.

    Returns:
        int64 [n], each in [0, N).
    """
    epochs = positions // num_examples
    # A seed for every element, so that a batch that straddles two epochs is one call. (The wrapper
    # tf.random.experimental.index_shuffle pads such seeds wrongly.)
    keys = tf.stack([tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)), epochs], axis=1)
    keys = tf.pad(keys, [[0, 0], [0, 1]])
    last = tf.fill(tf.shape(positions), tf.constant(num_examples - 1, tf.int64))
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % num_examples, seed=keys, max_index=last, rounds=_ROUNDS
    )
