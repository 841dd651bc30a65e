"""A model of synchronous data-parallel training: a step is computing, then summing over workers.

A message of n bytes takes alpha + n / beta over a link: a latency and a bandwidth. From these come
the times of the two usual all-reduces of n bytes over p workers:

    ring    2 (p - 1) alpha + 2 (p - 1) / p n / beta    reduce-scatter, then all-gather; the most
                                                        frugal with bytes (Patarasuk and Yuan, 2009)
    tree    2 ceil(log2 p) (alpha + n / beta)           reduce, then broadcast, by binomial trees;
                                                        frugal with messages (Thakur et al., 2005)

The time of adding is not told apart: where the link is fitted to measured all-reduces it is part of
what a byte costs. Pure functions; times in seconds.

R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication operations in
MPICH", International Journal of High Performance Computing Applications 19 (1), 2005.
P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
Journal of Parallel and Distributed Computing 69 (2), 2009.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize

from flowrate.errors import DataError


@dataclasses.dataclass(frozen=True)
class Link:
    """What joins the workers.

    Attributes:
        latency_seconds: alpha, of a message.
        bytes_per_second: beta, of each worker in each direction; may be infinite.
    """

    latency_seconds: float
    bytes_per_second: float


@dataclasses.dataclass(frozen=True)
class Measured:
    """One measured all-reduce: the time, by size of the message and number of workers."""

    num_bytes: float
    num_workers: int
    seconds: float


def ring_seconds(num_bytes: float, num_workers: int, link: Link) -> float:
    """Returns the time of an all-reduce round a ring."""
    messages, copies = _ring_costs(num_workers)
    return messages * link.latency_seconds + copies * num_bytes / link.bytes_per_second


def tree_seconds(num_bytes: float, num_workers: int, link: Link) -> float:
    """Returns the time of an all-reduce up and down a binomial tree."""
    levels = math.ceil(math.log2(num_workers))
    return 2 * levels * (link.latency_seconds + num_bytes / link.bytes_per_second)


ALL_REDUCES: dict[str, Callable[[float, int, Link], float]] = {
    "ring": ring_seconds,
    "tree": tree_seconds,
}


def all_reduce_seconds(num_bytes: float, num_workers: int, link: Link) -> float:
    """Returns the time of the faster of the two: a library takes the tree for small messages."""
    return min(seconds(num_bytes, num_workers, link) for seconds in ALL_REDUCES.values())


def step_seconds(compute_seconds: float, collective_seconds: float, overlap: float = 0.0) -> float:
    """Returns the time of a step.

    Args:
        compute_seconds: of one worker's share of the batch.
        collective_seconds: of the sum over workers.
        overlap: share of the computing that can go on beside the sum; 0 as this trainer does it.
    """
    return compute_seconds + max(0.0, collective_seconds - overlap * compute_seconds)


def efficiency(compute_seconds: float, whole_step_seconds: float) -> float:
    """Returns the share of a step that computes: images/s over those of as many lone workers."""
    return compute_seconds / whole_step_seconds


def fit_link(measured: Sequence[Measured]) -> Link:
    """Returns the link whose ring comes nearest to what was measured, by relative error.

    Non-negative least squares of (messages alpha + bytes / beta) / seconds = 1: each measurement
    counts alike, from a few bytes to many; see C. Lawson, R. Hanson, "Solving least squares
    problems", 1974.

    Raises:
        DataError: there are not two different measurements over two workers or more.
    """
    rows = np.array([_row(each) for each in measured if each.num_workers > 1]).reshape(-1, 2)
    if len(np.unique(rows, axis=0)) < 2:
        raise DataError("a link is fitted to two all-reduces of different sizes or more.")
    # Bytes and messages differ by orders of magnitude: scaled, each column counts to 1.
    scale = np.linalg.norm(rows, axis=0)
    solution, _ = optimize.nnls(rows / scale, np.ones(len(rows)))
    latency, seconds_per_byte = (float(value) for value in solution / scale)
    return Link(latency, 1 / seconds_per_byte if seconds_per_byte else math.inf)


def relative_error(predicted: float, measured: float) -> float:
    """Returns 0.1 for a prediction that is 10 % too high."""
    return predicted / measured - 1


def _ring_costs(num_workers: int) -> tuple[int, float]:
    """Returns how many messages follow each other, and how many times the bytes pass a link."""
    return 2 * (num_workers - 1), 2 * (num_workers - 1) / num_workers


def _row(measured: Measured) -> tuple[float, float]:
    messages, copies = _ring_costs(measured.num_workers)
    return messages / measured.seconds, copies * measured.num_bytes / measured.seconds
