"""The order of examples with `--balance`: each class equally often.

Of C classes that have examples, a round is C positions that hold each class once, in an order drawn
by (seed, round). In round r a class of n examples shows the one at place r % n of a permutation of
them drawn by (seed, class, r // n): each once before any twice. So what stands at a position
depends on the seed and the position alone, as in _order.py, and a run may start anywhere.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

# SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
# TensorFlow's generators take one seed a call; here each round and each class has its own.
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_SHIFTS_AND_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
# A call costs some hundred operations, however few positions it gives.
_MIN_POSITIONS = 2**14


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Which examples are of which class; a class without examples is left out.

    Attributes:
        members: int64 [N], the examples, those of a class one after the other.
        sizes: int64 [C], how many each class has.
    """

    members: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Classes:
        """Returns the classes of labels, int [N]."""
        return cls(np.argsort(labels, kind="stable"), np.unique(labels, return_counts=True)[1])

    @property
    def num_rounds(self) -> int:
        """How many rounds are drawn at a time."""
        return -(-max(len(self.members), _MIN_POSITIONS) // len(self.sizes))

    @property
    def num_positions(self) -> int:
        """How many positions are drawn at a time."""
        return self.num_rounds * len(self.sizes)


def balanced_order(part: int | tf.Tensor, classes: Classes, seed: int) -> tf.Tensor:
    """Returns what stands at the positions from `part * classes.num_positions` on.

    Returns:
        int64 [classes.num_positions], examples.
    """
    num_rounds, num_classes = classes.num_rounds, len(classes.sizes)
    first = tf.cast(part, tf.int64) * num_rounds
    rounds = tf.range(num_rounds, dtype=tf.int64)
    numbers = tf.range(num_classes, dtype=tf.int64)
    draws = _mix(_hash(seed, 0, first + rounds)[:, tf.newaxis], numbers)
    of_class = _sorted_by(draws, numbers, num_classes)

    # Of each class the epochs that these rounds touch, whole; each is a group.
    sizes = tf.constant(classes.sizes)
    first_epochs = first // sizes
    num_epochs = (first + num_rounds - 1) // sizes - first_epochs + 1
    class_of_group = _counted(num_epochs)
    epochs = tf.range(tf.size(class_of_group, tf.int64))
    epochs += tf.gather(first_epochs - _starts(num_epochs), class_of_group)
    group_sizes = tf.gather(sizes, class_of_group)
    groups = _counted(group_sizes)
    numbers = tf.range(tf.size(groups, tf.int64)) - tf.gather(_starts(group_sizes), groups)
    draws = _mix(tf.gather(_hash(seed, class_of_group + 1, epochs), groups), numbers)
    most_groups = int(np.sum(num_rounds // classes.sizes + 2))
    shown = _sorted_by(draws, numbers, int(classes.sizes.max()), groups, most_groups)
    shown += tf.gather(tf.gather(_starts(sizes), class_of_group), groups)

    first_shown = _starts(num_epochs * sizes) + first % sizes
    places = tf.gather(first_shown, of_class) + rounds[:, tf.newaxis]
    return tf.gather(classes.members, tf.gather(shown, tf.reshape(places, [-1])))


def _sorted_by(
    draws: tf.Tensor,
    numbers: tf.Tensor,
    num_numbers: int,
    groups: tf.Tensor | int = 0,
    num_groups: int = 1,
) -> tf.Tensor:
    """Returns the numbers (int64, below num_numbers), in each group sorted by their draws (uint64).

    Group, draw and number go into one int64: no two are equal, and to sort them is all it takes.
    Of 100,000 examples at least 29 bits are left for the draw.
    """
    number_bits, group_bits = (num_numbers - 1).bit_length(), (num_groups - 1).bit_length()
    draws = tf.bitwise.right_shift(draws, _unsigned(1 + group_bits))
    draws = tf.cast(draws, tf.int64) & ~(2**number_bits - 1)
    keys = groups * 2 ** (63 - group_bits) + draws + numbers
    # NumPy sorts with vector instructions, five times as fast.
    keys = np.sort(keys) if tf.executing_eagerly() else tf.sort(keys)
    return keys & (2**number_bits - 1)


def _counted(sizes: tf.Tensor) -> tf.Tensor:
    """Returns int64 [sum of sizes]: 0 as often as sizes[0] says, at least 1, then 1, and so on.

    tf.repeat would make a matrix of all groups by the largest size.
    """
    starts = _starts(sizes)[1:, tf.newaxis]
    return tf.cumsum(tf.scatter_nd(starts, tf.ones_like(starts[:, 0]), [tf.reduce_sum(sizes)]))


def _starts(sizes: tf.Tensor) -> tf.Tensor:
    return tf.cumsum(sizes, exclusive=True)


def _hash(*parts: int | tf.Tensor) -> tf.Tensor:
    """Returns uint64, of the shape of the parts: a random number for each combination of them."""
    state = _unsigned(0)
    for part in parts:
        state = _mix(state, part)
    return state


def _mix(state: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Returns uint64: the number (0, 1, ...) of SplitMix64's stream from a state (uint64)."""
    bits = state + (tf.cast(number, tf.uint64) + 1) * _unsigned(_GOLDEN_GAMMA)
    for shift, factor in _SHIFTS_AND_FACTORS:
        bits = _folded(bits, shift) * _unsigned(factor)
    return _folded(bits, _LAST_SHIFT)


def _folded(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _unsigned(shift)))


def _unsigned(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)
