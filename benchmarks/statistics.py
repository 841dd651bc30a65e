"""What the suite says of its samples: medians, ratios, percentiles, and which of two is faster.

A sample is what one fresh process measured (a repeat), so n is 2 to 10 and what is said of it must
hold for so few. tests/benchmarks/test_statistics.py shows by simulation how far it does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from flowrate.errors import DataError

# Warm-up is over when the last WARMUP_WINDOW segments ran within WARMUP_WITHIN of each other, or
# after MAX_WARMUP_SEGMENTS. Tracing and compiling cost a segment many times its usual time, clocks
# and caches some percent: 5 % tells both from the 1 to 2 % that segments differ by on a quiet
# machine, and 12 segments are enough for one window in calm even where they differ by 4 %.
WARMUP_WINDOW = 3
WARMUP_WITHIN = 0.05
MAX_WARMUP_SEGMENTS = 12

# The chance with which `smallest_detectable` would have been seen: the usual one.
POWER = 0.8


@dataclass(frozen=True)
class MedianInterval:
    """A median and its interval; `low` and `high` are None for a single value."""

    median: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Percentiles:
    """The values that 50, 90 and 99 % of the samples do not exceed."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Difference:
    """What can be said of b next to a.

    Attributes:
        answer: "faster", "slower", "same" or "cannot tell".
        ratio: b over a, of the geometric means.
        low: end of the ratio's interval; None where one side has a single value.
        high: the other end.
        smallest_detectable: relative difference that so many repeats with this spread show in 80 %
            of the cases, such as 0.07; None where one side has a single value. The spread itself
            is estimated from the repeats, so with n = 3 this is a rough figure.
        n_a: number of values of a.
        n_b: number of values of b.
    """

    answer: str
    ratio: float
    low: float | None
    high: float | None
    smallest_detectable: float | None
    n_a: int
    n_b: int


def median_interval(
    values: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> MedianInterval:
    """Returns the median and its bootstrap interval; the order of `values` does not matter.

    A bootstrap never leaves the range of the values, and n values have the true median between
    them with a chance of 1 - 2 ** (1 - n): below n = 6 the interval holds it in 50, 75, 87 and
    94 % of the cases (n = 2 to 5), not in 95 %. Decisions are therefore taken by `compare`.
    Values that are all equal give an interval of no width.

    Raises:
        DataError: there are no values, or one is not a positive number.
    """
    samples = np.sort(_positive(values))
    median = float(np.median(samples))
    if len(samples) == 1:
        return MedianInterval(median, None, None, 1)
    if samples[0] == samples[-1]:
        return MedianInterval(median, median, median, len(samples))
    # Percentile, not BCa: BCa's acceleration comes from leaving out one value at a time, and the
    # median then jumps between two or three values, or does not move and leaves it undefined.
    interval = stats.bootstrap(
        (samples,),
        np.median,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    # Interpolating between two values may end a rounding error beyond them.
    low = float(np.clip(interval.low, samples[0], median))
    high = float(np.clip(interval.high, median, samples[-1]))
    return MedianInterval(median, low, high, len(samples))


def compare(
    a: Sequence[float],
    b: Sequence[float],
    same_within: float = 0.05,
    confidence: float = 0.95,
    lower_is_better: bool = False,
) -> Difference:
    """Says whether b is faster than a, slower, the same, or whether that cannot be told.

    "same" where the whole interval of the ratio lies between 1 / (1 + same_within) and
    1 + same_within, even where it excludes 1: such a difference is of no interest. Else "faster"
    or "slower" where it excludes 1; else "cannot tell", as with a single value on a side. Values
    without any spread give an interval of no width: they are taken at their word.

    Args:
        a: positive values of the one side, one a repeat.
        b: those of the other; `ratio` is b over a in any case.
        same_within: relative difference below which nobody cares.
        confidence: of the interval.
        lower_is_better: for times and sizes: a ratio below 1 is then "faster".

    Raises:
        DataError: a side has no values, or one is not a positive number.
    """
    values_a, values_b = _positive(a), _positive(b)
    fewest = min(len(a), len(b))
    center, low, high = map(float, log_ratio_interval(values_a, values_b, confidence))
    return Difference(
        answer_of(low, high, same_within, lower_is_better) if fewest > 1 else "cannot tell",
        *_as_ratios(center, low, high, fewest),
        _smallest_detectable(values_a, values_b, confidence) if fewest > 1 else None,
        len(a),
        len(b),
    )


def answer_of(low: float, high: float, same_within: float, lower_is_better: bool = False) -> str:
    """Returns the answer for an interval of the logarithm of b over a."""
    # In logarithms the band is symmetric, so a and b can change places.
    band = math.log1p(same_within)
    if -band <= low and high <= band:
        return "same"
    if low <= 0 <= high:
        return "cannot tell"
    return "faster" if (low > 0) != lower_is_better else "slower"


def log_ratio_interval(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns center, low and high of log(b / a); a single value on a side tells the center only.

    Welch's interval (Biometrika 34, 1947) for the difference of the means of the logarithms: noise
    multiplies a rate, and the two sides may differ in spread. At n = 3 to 5 a bootstrap of the
    geometric means was seen to find a difference where there is none in 10 to 23 % of the cases,
    of the medians in 3 to 11 %; this one does in at most 5 %, also with outliers, and in about 6 %
    where one side's spread is many times the other's. A test by ranks cannot reach 5 % with n = 3.

    Args:
        a: float [..., n_a], positive.
        b: float [..., n_b], positive.
        confidence: of the interval.
    """
    center, error, freedom = log_ratio(a, b)
    half = _critical(freedom, confidence) * error
    return center, center - half, center + half


def log_ratio(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns mean, standard error and degrees of freedom of log(b / a).

    Where n is the same on both sides, the degrees are Welch's; else those of the smaller side,
    which hold whatever the spreads: Welch's would find a difference where there is none in up to
    7 % of the cases at n = 3 and 10, and in 10 % at n = 2 and 5. Equal numbers of repeats see more.
    scipy's `ttest_ind` gives neither the standard error nor an answer for values without spread.
    """
    (mean_a, share_a, freedom_a), (mean_b, share_b, freedom_b) = _log_mean(a), _log_mean(b)
    square = share_a + share_b
    if freedom_a != freedom_b:
        return mean_b - mean_a, np.sqrt(square), np.full_like(square, min(freedom_a, freedom_b))
    rest = share_a**2 / freedom_a + share_b**2 / freedom_b
    # Without spread (rest is 0) any number of degrees gives the same interval.
    freedom = np.divide(square**2, rest, out=np.ones_like(square), where=rest > 0)
    return mean_b - mean_a, np.sqrt(square), freedom


def step_percentiles(segments: Sequence[tuple[int, float]]) -> Percentiles:
    """Returns the percentiles of the step time in ms of segments (num_steps, seconds).

    They are times of the segments themselves (inverted CDF), not between. A segment counts as
    num_steps steps of seconds / num_steps: what varies within a segment is not seen, so p99 is that
    of single steps only where segments are single steps.

    Raises:
        DataError: there are no segments, or one has no steps or no time.
    """
    num_steps, seconds = _columns(segments)
    step_ms = 1e3 * seconds / num_steps
    found = np.percentile(step_ms, (50, 90, 99), weights=num_steps, method="inverted_cdf")
    return Percentiles(*map(float, found))


def is_stable(rates: Sequence[float]) -> bool:
    """Tells whether the last WARMUP_WINDOW rates lie within WARMUP_WITHIN of the slowest of them.

    Raises:
        DataError: a rate is not a positive number.
    """
    if len(rates) < WARMUP_WINDOW:
        return False
    last = _positive(rates)[-WARMUP_WINDOW:]
    return bool(last.max() <= last.min() * (1 + WARMUP_WITHIN))


def warmup_is_over(segments: Sequence[tuple[int, float]]) -> bool:
    """Tells whether measuring may begin after these segments (num_steps, seconds), from the first.

    It says yes after MAX_WARMUP_SEGMENTS in any case; whether they had come to rest then is what
    `is_stable` says of their rates.

    Raises:
        DataError: a segment has no steps or no time.
    """
    if len(segments) < WARMUP_WINDOW:
        return False
    num_steps, seconds = _columns(segments)
    return len(segments) >= MAX_WARMUP_SEGMENTS or is_stable(num_steps / seconds)


def _columns(segments: Sequence[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    num_steps, seconds = zip(*segments) if segments else ((), ())
    return _positive(num_steps), _positive(seconds)


def _positive(values: Sequence[float]) -> np.ndarray:
    samples = np.asarray(values, dtype=float)
    if samples.size == 0:
        raise DataError("there are no values to describe; at least one repeat must have worked.")
    wrong = samples[~(np.isfinite(samples) & (samples > 0))]
    if wrong.size:
        raise DataError(f"{wrong[0]} among the values; rates and times are positive numbers.")
    return samples


def _log_mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the mean of the logarithms, its squared standard error and degrees of freedom."""
    logs = np.log(values)
    # From the least value on: equal values then leave a spread of exactly nothing.
    least = np.min(logs, axis=-1)
    rest = logs - least[..., None]
    freedom = max(logs.shape[-1] - 1, 1)
    square = np.sum((rest - np.mean(rest, axis=-1, keepdims=True)) ** 2, axis=-1) / freedom
    return least + np.mean(rest, axis=-1), square / logs.shape[-1], freedom


def _critical(freedom: np.ndarray, confidence: float) -> np.ndarray:
    return stats.t.ppf((1 + confidence) / 2, freedom)


def _smallest_detectable(a: np.ndarray, b: np.ndarray, confidence: float) -> float:
    _, error, freedom = log_ratio(a, b)
    critical = _critical(freedom, confidence)
    # In standard errors: where the noncentral t exceeds the interval's half width POWER of the
    # time. The other tail adds less than one case in a thousand.
    shift = optimize.brentq(
        lambda shift: stats.nct.sf(critical, freedom, shift) - POWER, 0.0, 4 * critical
    )
    return math.expm1(shift * error)


def _as_ratios(
    center: float, low: float, high: float, fewest: int
) -> tuple[float, float | None, float | None]:
    if fewest == 1:
        return math.exp(center), None, None
    return math.exp(center), math.exp(low), math.exp(high)
