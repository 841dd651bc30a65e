"""With `--balance`: each class equally often, each example of a class before any twice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**31 - 1)
# Labels of examples; classes of which there is none are left out by the numbers.
LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)
FEW = settings(deadline=None, max_examples=25)
ROUNDS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def order(tf):
    """Returns a function: labels, seed, first and last position -> int64 indices."""
    from input_pipelines.balanced_order import Classes
    from input_pipelines.order import example_indices

    def read(labels, seed, first, last):
        return example_indices(first, last, len(labels), seed, Classes.of(labels))

    return read


@FEW
@given(labels=LABELS, seed=SEEDS, first=ROUNDS, num_rounds=st.integers(1, 50))
def test_whole_rounds_hold_each_class_equally_often(order, labels, seed, first, num_rounds):
    classes = np.unique(labels)
    found = order(labels, seed, first * len(classes), (first + num_rounds) * len(classes))
    rounds = labels[found].reshape(num_rounds, len(classes))
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(classes, (num_rounds, 1)))


@FEW
@given(labels=LABELS, seed=SEEDS, epochs=st.integers(0, 1000), num_epochs=st.integers(1, 3))
def test_a_class_shows_each_example_before_any_twice(order, labels, seed, epochs, num_epochs):
    """From the first position on, and from any of the class's own epochs."""
    classes, sizes = np.unique(labels, return_counts=True)
    for label, size in zip(classes, sizes):
        first, last = (len(classes) * size * n for n in (epochs, epochs + num_epochs))
        found = order(labels, seed, int(first), int(last))
        own = found[labels[found] == label].reshape(num_epochs, size)
        expected = np.flatnonzero(labels == label)
        np.testing.assert_array_equal(np.sort(own, axis=1), np.tile(expected, (num_epochs, 1)))


@FEW
@given(
    labels=LABELS,
    seed=SEEDS,
    start=st.integers(0, 10**6),
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=4),
)
def test_any_start_and_any_cut_gives_the_same_order(order, labels, seed, start, lengths):
    ends = [int(end) for end in start + np.cumsum([0, *lengths])]
    parts = [order(labels, seed, *cut) for cut in itertools.pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(parts), order(labels, seed, start, ends[-1]))


@pytest.mark.parametrize("sizes", [(99_999, 1), (40_000, 300, 7, 1)])
def test_very_unequal_classes_are_shown_equally_often(sizes):
    """One class goes through thousands of its epochs while another shows a part of one."""
    from input_pipelines.balanced_order import Classes, balanced_order

    labels = np.repeat(np.arange(len(sizes)), sizes)
    for part in (0, 5):
        found = balanced_order(part, Classes.of(labels), 3)
        counts = np.bincount(labels[found], minlength=len(sizes))
        assert len(np.unique(counts)) == 1


def test_the_order_is_the_one_that_earlier_runs_had(order):
    """Pinned: another order after an update would show a resumed run some examples twice."""
    found = order(np.array([0, 0, 0, 0, 2, 2, 1]), 3, 0, 18)
    np.testing.assert_array_equal(found, [2, 6, 5, 4, 1, 6, 3, 4, 6, 6, 5, 0, 5, 6, 0, 3, 6, 4])


def test_seed_round_and_class_decide_the_order(order):
    labels = np.repeat([0, 1], 64)
    first, other_seed, later = (
        order(labels, seed, start, start + 128) for seed, start in ((1, 0), (2, 0), (1, 128))
    )
    for found in (other_seed, later):
        assert np.mean(found == first) < 0.1
    # Two classes of the same size do not go through theirs alike.
    own = [first[labels[first] == label] % 64 for label in (0, 1)]
    assert np.mean(own[0] == own[1]) < 0.1


def test_the_order_is_shuffled_well(order):
    """As of random permutations: places and examples do not correlate, nor do two epochs."""
    size = 5000
    labels = np.arange(2 * size) % 2
    found = order(labels, 0, 0, 4 * size)
    orders = np.stack([found[labels[found] == label] // 2 for label in (0, 1)]).reshape(4, size)
    places = np.arange(size)
    assert np.abs(np.corrcoef([places, *orders]) - np.eye(5)).max() < 4 / np.sqrt(size)
    for each in orders:
        assert np.abs(each - places).mean() == pytest.approx(size / 3, rel=0.05)
        assert np.mean(np.abs(np.diff(each)) == 1) < 0.002
    # Which class comes first in a round is a fair coin, whatever it was in the round before.
    firsts = labels[found].reshape(-1, 2)[:, 0]
    assert abs(firsts.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(firsts[:-1], firsts[1:])[0, 1]) < 0.04


@pytest.mark.parametrize("from_files", [False, True])
def test_blocks_have_that_order(tf, order, image_folder, from_files):
    from input_pipelines.blocks import training_blocks
    from input_pipelines.source import ArraySource, FileSource

    folder = image_folder(classes=("cat", "dog"), per_class=12, size=(4, 4))
    paths = tuple(sorted(folder.glob("cat/*.jpg"))) + tuple(sorted(folder.glob("dog/*.jpg")))[:3]
    labels = np.array([0] * 12 + [1] * 3, np.int32)
    images = np.stack([tf.io.decode_jpeg(path.read_bytes()).numpy() for path in paths])
    names = ("cat", "dog")
    files = FileSource(paths, labels, names)
    source = files if from_files else ArraySource(images, labels, names)
    found = training_blocks(
        source, (4, 4, 3), seed=7, first_step=2, last_step=8, global_batch_size=8,
        steps_per_block=3, balance=True,
    )  # fmt: skip
    blocks = list(found)
    expected = order(labels, 7, 16, 64)
    for name, values in (("images", images), ("labels", labels)):
        joined = np.concatenate([block[name] for block in blocks])
        np.testing.assert_array_equal(joined.reshape(48, *values.shape[1:]), values[expected])
    counts = [np.bincount(row, minlength=2) for block in blocks for row in block["labels"]]
    np.testing.assert_array_equal(counts, [[4, 4]] * 6)
