"""The laws of the model: what must hold for any link, message and number of workers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scaling_model
from benchmarks.scaling_model import ALL_REDUCES, Link, Measured
from flowrate.errors import DataError

LINKS = st.builds(
    Link,
    latency_seconds=st.floats(1e-7, 1e-2),
    bytes_per_second=st.floats(1e6, 1e11),
)
BYTES = st.integers(1, 2**32)
WORKERS = st.integers(1, 2048)
SECONDS = st.floats(1e-6, 100)
ALGORITHMS = st.sampled_from(sorted(ALL_REDUCES))


@given(ALGORITHMS, BYTES, BYTES, st.integers(2, 2048), LINKS)
def test_more_bytes_take_longer(name, one, other, num_workers, link):
    less, more = sorted((one, other))
    seconds = ALL_REDUCES[name]
    assert seconds(less, num_workers, link) <= seconds(more, num_workers, link)
    if more > less * 2 and less / link.bytes_per_second > link.latency_seconds:
        assert seconds(less, num_workers, link) < seconds(more, num_workers, link)


@given(ALGORITHMS, BYTES, WORKERS, WORKERS, LINKS)
def test_more_workers_take_longer(name, num_bytes, one, other, link):
    fewer, more = sorted((one, other))
    seconds = ALL_REDUCES[name]
    assert seconds(num_bytes, fewer, link) <= seconds(num_bytes, more, link) * (1 + 1e-12)


@given(BYTES, LINKS, SECONDS)
def test_one_worker_costs_nothing(num_bytes, link, compute):
    for seconds in (*ALL_REDUCES.values(), scaling_model.all_reduce_seconds):
        assert seconds(num_bytes, 1, link) == 0
    step = scaling_model.step_seconds(compute, 0.0)
    assert scaling_model.efficiency(compute, step) == 1


@given(BYTES, st.floats(1e6, 1e11), st.integers(1000, 100_000))
def test_the_bytes_of_a_ring_tend_to_twice_the_message(num_bytes, bytes_per_second, num_workers):
    link = Link(0.0, bytes_per_second)
    limit = 2 * num_bytes / bytes_per_second
    found = scaling_model.ring_seconds(num_bytes, num_workers, link)
    assert found <= limit
    assert found == pytest.approx(limit, rel=1.001 / num_workers)


@given(BYTES, LINKS)
def test_two_workers_exchange_two_messages(num_bytes, link):
    """By hand: each sends a half, adds, and sends its half of the sum."""
    half = link.latency_seconds + num_bytes / 2 / link.bytes_per_second
    assert scaling_model.ring_seconds(num_bytes, 2, link) == pytest.approx(2 * half)


def test_the_ring_wins_with_large_messages_and_the_tree_with_many_workers():
    link = Link(1e-5, 1e9)
    large, small = (2**30, 8), (1024, 512)
    assert scaling_model.ring_seconds(*large, link) < scaling_model.tree_seconds(*large, link)
    assert scaling_model.tree_seconds(*small, link) < scaling_model.ring_seconds(*small, link)
    for case in (large, small):
        assert scaling_model.all_reduce_seconds(*case, link) == min(
            seconds(*case, link) for seconds in ALL_REDUCES.values()
        )


def test_a_tree_by_hand():
    """Eight workers: three levels up, three down, the whole message each time."""
    link = Link(1e-3, 1e6)
    assert scaling_model.tree_seconds(2e6, 8, link) == pytest.approx(6 * (1e-3 + 2))
    assert scaling_model.tree_seconds(2e6, 9, link) == pytest.approx(8 * (1e-3 + 2))


@given(SECONDS, st.floats(0, 100), st.floats(0, 1))
def test_a_step_is_no_shorter_than_its_computing_and_overlap_only_helps(compute, sum_, overlap):
    plain = scaling_model.step_seconds(compute, sum_)
    found = scaling_model.step_seconds(compute, sum_, overlap)
    assert compute <= found <= plain == compute + sum_
    assert 0 < scaling_model.efficiency(compute, found) <= 1


@given(
    st.floats(1e-6, 1e-2), st.floats(1e7, 1e11), st.integers(0, 2**32 - 1),
    st.sampled_from([(2,), (2, 4), (3, 5, 8)]),
)  # fmt: skip
def test_a_fit_finds_the_link_again_under_noise(latency, bytes_per_second, seed, counts):
    """Within the noise: 2 % on each measurement, messages from far below to far above the knee."""
    link, random = Link(latency, bytes_per_second), np.random.default_rng(seed)
    knee = latency * bytes_per_second
    measured = [
        Measured(size, count, scaling_model.ring_seconds(size, count, link) * factor)
        for count in counts
        for size in knee * np.logspace(-3, 3, 13)
        for factor in np.exp(0.02 * random.standard_normal(5))
    ]
    found = scaling_model.fit_link(measured)
    assert found.latency_seconds == pytest.approx(latency, rel=0.03)
    assert found.bytes_per_second == pytest.approx(bytes_per_second, rel=0.03)


def test_a_fit_never_gives_less_than_nothing():
    """Large messages that are quicker than small ones: no bandwidth below zero comes of it."""
    found = scaling_model.fit_link([Measured(10, 2, 2e-3), Measured(1e6, 2, 1e-3)])
    assert found.latency_seconds > 0
    assert found.bytes_per_second == math.inf
    assert scaling_model.ring_seconds(1e9, 2, found) == pytest.approx(2 * found.latency_seconds)


@pytest.mark.parametrize(
    "measured",
    [[], [Measured(10, 2, 1e-3)], [Measured(10, 2, 1e-3)] * 2,
     [Measured(10, 1, 1e-3), Measured(20, 1, 1e-3)]],
)  # fmt: skip
def test_a_fit_of_too_little_is_refused(measured):
    with pytest.raises(DataError, match="two all-reduces of different sizes"):
        scaling_model.fit_link(measured)


def test_relative_error():
    assert scaling_model.relative_error(1.1, 1.0) == pytest.approx(0.1)
