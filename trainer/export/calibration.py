"""Which training images int8 is calibrated on."""

from __future__ import annotations

import numpy as np


def choose_examples(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns int64 [M] indices of examples drawn at random, as many of each class as can be.

    M is `count`, or the number of examples where that is less. A class with fewer examples gives
    them all, and the others make up for it.

    Args:
        labels: int32 [N].
        count: examples wanted.
        seed: decides the draw.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    of_class = labels[shuffled]
    turns = np.empty(len(labels), np.int64)
    for label in np.unique(of_class):
        members = np.flatnonzero(of_class == label)
        turns[members] = np.arange(len(members))
    # The first example of each class, then the second of each, and so on.
    return shuffled[np.argsort(turns, kind="stable")[:count]]
