"""The order of examples: a permutation per epoch, and a function of seed and position alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**31 - 1)
FEW = settings(deadline=None, max_examples=50)


@pytest.fixture(scope="module")
def indices_at(tf):
    """Returns a function: first and last position, number of examples, seed -> int64 indices."""
    from input_pipelines.order import example_indices

    return example_indices


@FEW
@given(num_examples=st.integers(1, 300), epoch=st.integers(0, 10**6), seed=SEEDS)
def test_each_epoch_is_a_permutation(indices_at, num_examples, epoch, seed):
    first = epoch * num_examples
    found = indices_at(first, first + num_examples, num_examples, seed)
    np.testing.assert_array_equal(np.sort(found), np.arange(num_examples))


@FEW
@given(
    num_examples=st.integers(1, 100),
    start=st.integers(0, 10**6),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    seed=SEEDS,
)
def test_any_start_and_any_cut_gives_the_same_order(indices_at, num_examples, start, lengths, seed):
    ends = start + np.cumsum([0, *lengths])
    whole = indices_at(start, int(ends[-1]), num_examples, seed)
    parts = [
        indices_at(*map(int, ends[i : i + 2]), num_examples, seed) for i in range(len(lengths))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(indices_at(start, start, num_examples, seed)) == 0


@FEW
@given(seeds=st.lists(SEEDS, min_size=2, max_size=2, unique=True), epoch=st.integers(0, 1000))
def test_seed_and_epoch_decide_the_order(indices_at, seeds, epoch):
    orders = [
        indices_at(start * 64, start * 64 + 64, 64, seed)
        for start, seed in ((epoch, seeds[0]), (epoch, seeds[1]), (epoch + 1, seeds[0]))
    ]
    assert len(np.unique(orders, axis=0)) == 3


def test_the_order_is_the_one_that_earlier_runs_had(indices_at):
    """Pinned: another order after an update would show a resumed run some examples twice."""
    found = indices_at(0, 20, 7, 3)
    np.testing.assert_array_equal(
        found, [3, 4, 1, 2, 6, 5, 0, 4, 5, 0, 2, 6, 1, 3, 3, 4, 1, 5, 2, 6]
    )


def test_the_order_is_shuffled_well(indices_at):
    num_examples = 10_000
    order = indices_at(0, num_examples, num_examples, 0)
    places = np.arange(num_examples)
    # Of a random permutation: a mean distance of n/3, hardly a neighbour left, no correlation.
    assert np.abs(order - places).mean() == pytest.approx(num_examples / 3, rel=0.05)
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.002
    assert abs(np.corrcoef(order, places)[0, 1]) < 0.05
    # Sorted folders have their classes one after the other: each batch must have all of them.
    classes = (order // 1000).reshape(-1, 500)
    counts = np.stack([np.bincount(row, minlength=10) for row in classes])
    assert counts.min() > 20
    assert counts.max() < 90


@pytest.mark.parametrize("num_examples", [1437, 10_000, 60_000])
def test_epochs_have_nothing_to_do_with_each_other(indices_at, num_examples):
    """TensorFlow's RandomIndexShuffle as it comes fails this: two epochs correlate by 0.89."""
    rows = 32
    orders = indices_at(0, 4 * num_examples, num_examples, 0).reshape(4, num_examples)
    # Pairs that share a batch in one epoch and again in the next: as many as by chance.
    expected = num_examples * (rows - 1) / 2 * (rows - 1) / (num_examples - 1)
    batches = np.argsort(orders, axis=1) // rows
    for one, other in itertools.pairwise(batches):
        _, sizes = np.unique(one * num_examples + other, return_counts=True)
        assert np.sum(sizes * (sizes - 1) / 2) == pytest.approx(expected, rel=0.25)
    correlations = np.corrcoef(orders) - np.eye(4)
    assert np.abs(correlations).max() < 4 / np.sqrt(num_examples)
