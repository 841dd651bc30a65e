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


def interval(low: float | None, high: float | None, to: str = " to ") -> str:
    """Returns `4,741 to 5,126`."""
    if low is None or high is None:
        return NOTHING
    return f"{number(low)}{to}{number(high)}"


def deviation(mean: float | None, spread: float | None, decimals: int = 4) -> str:
    """Returns `0.8853 ± 0.0037`, without the second part where there is no spread."""
    if mean is None:
        return NOTHING
    text = f"{mean:.{decimals}f}"
    return text if spread is None else f"{text} ± {spread:.{decimals}f}"


def times(value: float | None) -> str:
    """Returns a ratio as `10.2x`."""
    return NOTHING if value is None else f"{number(value)}x"


def count_of(num: int, singular: str, plural: str | None = None) -> str:
    """Returns `1 repeat`, `1,200 repeats`."""
    return f"{num:,} {singular if num == 1 else plural or singular + 's'}"


def memory(num_bytes: float | None) -> str:
    """Returns a size in GiB with its unit."""
    return NOTHING if num_bytes is None else f"{number(num_bytes / 2**30)} GiB"
