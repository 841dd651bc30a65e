"""The largest batch that fits is found, and the case that has it says so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.case import BenchmarkCase
from benchmarks.measure import RATE
from benchmarks.measure.batch_search import largest_that_fits, with_batch


@given(room=st.integers(0, 5000), more=st.integers(1, 100_000))
def test_what_is_found_fits_and_hardly_more_would(room, more):
    tried = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= room

    found = largest_that_fits(fits, room + more)
    if room == 0:
        assert found is None
    else:
        assert found in tried
        assert found <= room <= max(found + 1, found * 17 / 16)
    assert room + more not in tried  # It is known not to fit.
    assert len(tried) == len(set(tried)) < 40


def test_the_case_is_another_one_and_labelled():
    case = BenchmarkCase(
        suite="throughput", name="digits-mlp", measure=RATE, flags={"model": "mlp"}, seconds=3.0
    )
    found = with_batch(case, 48)
    assert found.name == "digits-mlp-largest_batch"
    assert found.flags == {"model": "mlp", "global_batch_size": 48}
    assert found.labels == {"largest_batch": 48}
    assert (found.suite, found.measure, found.seconds) == ("throughput", RATE, 3.0)
    assert with_batch(case, 48, seconds=0.1).seconds == 0.1
