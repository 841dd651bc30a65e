"""The figures of a call, cut in pieces and cut off where they are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.engine.results import StepResults


def make_results(first: int, count: int, **fields) -> StepResults:
    metrics = np.arange(4.0 * count, dtype=np.float32).reshape(count, 4)
    return StepResults(first, metrics, 2.0, 0.5, False, **fields)


@settings(deadline=None, max_examples=100)
@given(first=st.integers(1, 50), count=st.integers(1, 40), at=st.sets(st.integers(1, 90)))
def test_results_cut_in_pieces_are_the_results(first, count, at):
    whole = make_results(first, count)
    cuts = sorted(step for step in at if first <= step <= whole.last)
    pieces = list(whole.cut(cuts))
    assert [piece.last for piece in pieces] == sorted({*cuts, whole.last})
    assert [piece.first for piece in pieces] == [first, *(p.last + 1 for p in pieces[:-1])]
    np.testing.assert_array_equal(np.concatenate([p.metrics for p in pieces]), whole.metrics)
    assert sum(piece.seconds for piece in pieces) == pytest.approx(2.0)
    assert sum(piece.input_wait_seconds for piece in pieces) == pytest.approx(0.5)


@settings(deadline=None, max_examples=100)
@given(
    count=st.integers(1, 40),
    data=st.data(),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
    column=st.integers(0, 3),
)
def test_the_finite_part_ends_before_the_first_figure_that_is_none(count, data, value, column):
    whole = make_results(7, count)
    assert whole.is_finite
    np.testing.assert_array_equal(whole.finite_part().metrics, whole.metrics)
    bad = data.draw(st.integers(0, count - 1))
    whole.metrics[bad, column] = value
    assert not whole.is_finite
    part = whole.finite_part()
    assert (part.first, part.num_steps) == (7, bad)
    assert part.seconds == pytest.approx(2.0 * bad / count)
    # A piece without steps is none.
    assert [piece.num_steps for piece in part.cut([])] == ([bad] if bad else [])


def test_weights_that_are_none_leave_the_figures_of_the_steps():
    results = make_results(1, 3, has_finite_state=False)
    assert not results.is_finite
    assert results.finite_part().num_steps == 3
