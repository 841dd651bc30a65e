"""The order of examples with `--balance`: each class equally often.

Of C classes that have examples, a round is C positions that hold each class once, in an order drawn
by (seed, round). In round r a class of n examples shows the one at place r % n of a permutation of
them drawn by (seed, class, r // n): each once before any twice. So what stands at a position
depends on the seed and the position alone, as in order.py, and a run may start anywhere.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
# TensorFlow's generators take one seed a call; here each round and each class has its own.
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS_AND_FACTORS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
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


def balanced_order(part: int, classes: Classes, seed: int) -> np.ndarray:
    """Returns what stands at the positions from `part * classes.num_positions` on.

    Returns:
        int64 [classes.num_positions], examples.
    """
    sizes, num_rounds = classes.sizes, classes.num_rounds
    first = part * num_rounds
    rounds, numbers = np.arange(num_rounds), np.arange(len(sizes))
    draws = _mix(_hash(seed, 0, first + rounds)[:, np.newaxis], numbers)
    of_class = _sorted_by(draws, numbers, len(sizes))

    # Of each class the epochs that these rounds touch, whole; each is a group.
    first_epochs = first // sizes
    num_epochs = (first + num_rounds - 1) // sizes - first_epochs + 1
    class_of_group = np.repeat(numbers, num_epochs)
    epochs = np.arange(len(class_of_group)) + (first_epochs - _starts(num_epochs))[class_of_group]
    group_sizes = sizes[class_of_group]
    groups = np.repeat(np.arange(len(group_sizes)), group_sizes)
    numbers = np.arange(len(groups)) - _starts(group_sizes)[groups]
    draws = _mix(_hash(seed, class_of_group + 1, epochs)[groups], numbers)
    most_groups = int(np.sum(num_rounds // sizes + 2))
    shown = _sorted_by(draws, numbers, int(sizes.max()), groups, most_groups)
    shown += _starts(sizes)[class_of_group][groups]

    first_shown = _starts(num_epochs * sizes) + first % sizes
    places = first_shown[of_class] + rounds[:, np.newaxis]
    return classes.members[shown[places]].ravel()


def _sorted_by(
    draws: np.ndarray,
    numbers: np.ndarray,
    num_numbers: int,
    groups: np.ndarray | int = 0,
    num_groups: int = 1,
) -> np.ndarray:
    """Returns the numbers (int64, below num_numbers), in each group sorted by their draws (uint64).

    Group, draw and number go into one int64: no two are equal, and to sort them is all it takes.
    Of 100,000 examples at least 27 bits are left for the draw.
    """
    number_bits, group_bits = (num_numbers - 1).bit_length(), (num_groups - 1).bit_length()
    draws = (draws >> np.uint64(1 + group_bits)).astype(np.int64)
    keys = groups * 2 ** (63 - group_bits) + (draws & ~(2**number_bits - 1)) + numbers
    return np.sort(keys) & (2**number_bits - 1)


def _hash(*parts: int | np.ndarray) -> np.ndarray:
    """Returns uint64, of the shape of the parts: a random number for each combination of them."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = _mix(state, part)
    return state


def _mix(state: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Returns uint64: the number (0, 1, ...) of SplitMix64's stream from a state (uint64)."""
    number = np.atleast_1d(number).astype(np.uint64)
    bits = state + (number + np.uint64(1)) * _GOLDEN_GAMMA
    for shift, factor in _SHIFTS_AND_FACTORS:
        bits = (bits ^ (bits >> np.uint64(shift))) * factor
    return bits ^ (bits >> np.uint64(_LAST_SHIFT))


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes
