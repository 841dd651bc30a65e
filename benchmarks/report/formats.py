"""How the report writes numbers: three significant digits or more, thousands apart, never blank."""

from __future__ import annotations

# Stands wherever there is no figure.
NOTHING = "\u2013"


def number(value: float | None) -> str:
    """Returns `4,933`, `25.3`, `0.981`: at least three significant digits, no rounded thousands."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    # The exponent after rounding: 9.996 is 10.0, not 9.996's 10.00.
    exponent = int(f"{value:.2e}".partition("e")[2])
    return f"{value:,.{min(12, max(0, 2 - exponent))}f}"


def interval(low: float | None, high: float | None) -> str:
    """Returns `4,741 to 5,126`; empty where there is none."""
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def deviation(mean: float, spread: float | None) -> str:
    """Returns `0.8853 ± 0.0037`, without the second part where there is no spread."""
    return f"{mean:.4f}" if spread is None else f"{mean:.4f} ± {spread:.4f}"


def times(value: float) -> str:
    """Returns a ratio as `10.2x`."""
    return f"{number(value)}x"


def count_of(num: int, singular: str) -> str:
    """Returns `1 repeat`, `1,200 repeats`."""
    return f"{num:,} {singular}{'s' * (num != 1)}"
