"""Holding examples out: stratified, by a seed alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.errors import ConfigError
from input_pipelines.source import ArraySource, FileSource
from input_pipelines.splits import hold_out, stratified_indices

SEEDS = st.integers(0, 2**31 - 1)
LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=120).map(np.array)


@st.composite
def labels_and_count(draw) -> tuple[np.ndarray, int]:
    labels = draw(LABELS)
    return labels, draw(st.integers(0, len(labels)))


def array_source(labels: np.ndarray, num_classes: int = 6) -> ArraySource:
    """Each image holds its own index."""
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    names = tuple(f"class {label}" for label in range(num_classes))
    return ArraySource(images, labels.astype(np.int32), names)


@settings(deadline=None)
@given(labels_and_count(), SEEDS)
def test_each_class_has_its_share(given_labels, seed):
    labels, count = given_labels
    drawn = stratified_indices(labels, count, seed)
    assert drawn.dtype == np.int64
    assert len(drawn) == count
    assert np.all(np.diff(drawn) > 0)  # sorted, none twice
    assert not count or (drawn[0] >= 0 and drawn[-1] < len(labels))
    for label in np.unique(labels):
        share = np.sum(labels == label) * count / len(labels)
        assert abs(np.sum(labels[drawn] == label) - share) < 1


@settings(deadline=None)
@given(labels_and_count(), SEEDS)
def test_only_labels_count_and_seed_decide(given_labels, seed):
    labels, count = given_labels
    first = stratified_indices(labels, count, seed)
    np.random.permutation(10)  # draws from the state that all share
    np.testing.assert_array_equal(stratified_indices(labels.astype(np.int32), count, seed), first)


def test_another_seed_draws_others():
    labels = np.repeat(np.arange(4), 50)
    drawn = [tuple(stratified_indices(labels, 40, seed)) for seed in range(20)]
    assert len(set(drawn)) == 20


def test_the_draw_is_the_one_that_earlier_runs_had():
    """Pinned: another draw would mix held-out examples of a resumed run into its training."""
    labels = np.repeat(np.arange(3), [10, 6, 4])
    np.testing.assert_array_equal(stratified_indices(labels, 6, 1), [1, 3, 5, 12, 14, 18])


def test_every_example_of_a_class_may_be_drawn():
    labels = np.repeat(np.arange(2), 10)
    drawn = np.concatenate([stratified_indices(labels, 4, seed) for seed in range(200)])
    counts = np.bincount(drawn, minlength=20)
    assert counts.min() > 15  # 40 expected
    assert counts.max() < 70


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=120).map(np.array), st.data(), SEEDS)
def test_the_two_parts_are_the_whole(labels, data, seed):
    count = data.draw(st.integers(1, len(labels) - 1))
    source = array_source(labels)
    kept, held_out = hold_out(source, count, seed)
    assert (len(kept), len(held_out)) == (len(labels) - count, count)
    for part in (kept, held_out):
        indices = part.images.ravel().astype(int)
        assert np.all(np.diff(indices) > 0)  # in the order of the source
        np.testing.assert_array_equal(part.labels, labels[indices])
        assert part.class_names == source.class_names
    together = np.concatenate([kept.images, held_out.images]).ravel()
    np.testing.assert_array_equal(np.sort(together), np.arange(len(labels)))


def test_files_are_held_out_with_their_labels():
    labels = np.repeat(np.arange(2, dtype=np.int32), 6)
    paths = tuple(Path(f"{'ab'[label]}/{n}.jpg") for n, label in enumerate(labels))
    kept, held_out = hold_out(FileSource(paths, labels, ("a", "b")), 4, 0)
    assert set(kept.paths) | set(held_out.paths) == set(paths)
    assert len(kept.paths) == 8
    for part in (kept, held_out):
        assert [path.parts[0] for path in part.paths] == ["ab"[label] for label in part.labels]


@pytest.mark.parametrize("count", [10, 11, 60_000])
def test_something_must_be_left_to_train_on(count):
    with pytest.raises(ConfigError) as caught:
        hold_out(array_source(np.zeros(10, int)), count, 0)
    assert str(caught.value) == (
        f"--validation_examples={count}: the training split has 10 examples; use at most 9."
    )
