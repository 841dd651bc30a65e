"""Answers to a split: what is kept of them, and what is taken back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flowrate.errors import RunDirError
from trainer.trained.predictions import FILE, Predictions, softmax


def images_of(indices: np.ndarray) -> np.ndarray:
    return np.zeros((len(indices), 4, 5, 3), np.uint8) + indices[:, None, None, None].astype("u1")


def some(num_examples: int = 40, num_classes: int = 6) -> Predictions:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(num_examples, num_classes)).astype(np.float32)
    labels = generator.integers(0, num_classes, num_examples).astype(np.int32)
    return Predictions.from_logits(logits, labels, images_of)


LOGITS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(2, 7)),
    elements=st.integers(-3, 3).map(float),  # Equal logits come up.
)


@settings(deadline=None)
@given(LOGITS, st.randoms(use_true_random=False))
def test_an_answer_is_right_where_the_evaluation_counts_it(logits, random):
    classes = logits.shape[1]
    labels = np.array([random.randrange(classes) for _ in logits], np.int32)
    found = Predictions.from_logits(logits, labels, images_of)
    np.testing.assert_array_equal(found.is_right, logits.argmax(axis=1) == labels)
    order = np.argsort(-logits, axis=1, kind="stable")
    for row, label, rank in zip(order, labels, found.ranks):
        assert row[rank] == label
    np.testing.assert_allclose(found.confidences, softmax(logits).max(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found.images, images_of(found.shown))


def test_samples_are_spread_and_the_surest_mistakes_come_first():
    found = some()
    assert found.num_samples == 15
    samples, mistakes = np.split(found.shown, [15])
    assert (np.diff(samples) > 0).all()
    assert samples[-1] > 30
    wrong = np.flatnonzero(~found.is_right)
    assert len(mistakes) == min(15, len(wrong))
    assert not found.is_right[mistakes].any()
    assert (np.diff(found.confidences[mistakes]) <= 0).all()
    assert found.confidences[mistakes[0]] == found.confidences[wrong].max()


def test_large_images_are_kept_sparingly():
    logits = np.eye(20, dtype=np.float32)
    labels = np.zeros(20, np.int32)
    found = Predictions.from_logits(
        logits, labels, lambda indices: np.zeros((len(indices), 1024, 1024, 3), np.uint8)
    )
    assert found.images.nbytes <= 8 * 2**20


def test_what_was_saved_is_read(tmp_path):
    before = some()
    before.save(tmp_path)
    after = Predictions.read(tmp_path, 6)
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value)
    assert Predictions.read(tmp_path / "elsewhere", 6) is None


HOSTILE = {
    "labels beyond the classes": {"labels": np.full(40, 6, np.int32)},
    "negative indices": {"shown": np.full(30, -1)},
    "Python objects": {"labels": np.array([print] * 40, object)},
    "another shape": {"confidences": np.zeros(39, np.float32)},
    "another type": {"images": np.zeros((30, 4, 5, 3), np.float64)},
    "no number": {"probabilities": np.full((30, 6), np.nan, np.float32)},
    "more samples than there are": {"num_samples": np.int64(10**9)},
}


@pytest.mark.parametrize("changed", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_predictions_are_refused(tmp_path, changed):
    fields = {**vars(some()), **changed}
    np.savez(tmp_path / FILE, **fields)
    with pytest.raises(RunDirError, match=r"predictions\.npz is damaged"):
        Predictions.read(tmp_path, 6)


def test_a_compressed_file_is_refused(tmp_path):
    np.savez_compressed(tmp_path / FILE, labels=np.zeros(2**20, np.int32))
    with pytest.raises(RunDirError, match="is compressed"):
        Predictions.read(tmp_path, 6)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"nothing of the kind"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(RunDirError, match=r"predictions\.npz is damaged"):
        Predictions.read(tmp_path, 6)
