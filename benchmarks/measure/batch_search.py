"""The largest batch that fits into memory, found by trying; labelled as what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmarks.case import BenchmarkCase

# The answer is exact to this share: each further try costs a process.
_PRECISION = 1 / 16


def largest_that_fits(fits: Callable[[int], bool], too_large: int) -> int | None:
    """Returns a batch size that fits, none more than a sixteenth larger does; None if none fits.

    Args:
        fits: tries one; if a size fits, so does every smaller one.
        too_large: a size that does not fit.
    """
    fitting = too_large // 2
    while fitting and not fits(fitting):
        too_large, fitting = fitting, fitting // 2
    while fitting and too_large - fitting > max(1, fitting * _PRECISION):
        middle = (fitting + too_large) // 2
        if fits(middle):
            fitting = middle
        else:
            too_large = middle
    return fitting or None


def with_batch(case: BenchmarkCase, batch_size: int, seconds: float | None = None) -> BenchmarkCase:
    """Returns the case with this batch, under a name that says so."""
    return dataclasses.replace(
        case,
        name=f"{case.name}-largest_batch",
        flags={**case.flags, "global_batch_size": batch_size},
        seconds=case.seconds if seconds is None else seconds,
        labels={**case.labels, "largest_batch": batch_size},
    )
