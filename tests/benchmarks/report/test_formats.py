"""Numbers as the report writes them."""

from __future__ import annotations

import pytest

from benchmarks.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4932.6, "4,933"), (1234567, "1,234,567"), (999.6, "1,000"), (100, "100"), (99.96, "100"),
        (25.34, "25.3"), (20, "20.0"), (9.996, "10.0"), (1, "1.00"), (0.9812, "0.981"),
        (0.0123456, "0.0123"), (0, "0"), (-25.34, "-25.3"), (None, "\u2013"),
    ],
)  # fmt: skip
def test_three_significant_digits(value, text):
    assert formats.number(value) == text


def test_other_forms():
    assert formats.interval(4741.2, 5126) == "4,741 to 5,126"
    assert formats.interval(None, 1) == ""
    assert formats.deviation(0.88533, 0.0037) == "0.8853 ± 0.0037"
    assert formats.deviation(0.88533, None) == "0.8853"
    assert formats.times(10.24) == "10.2x"
    assert formats.count_of(1, "repeat") == "1 repeat"
    assert formats.count_of(1200, "repeat") == "1,200 repeats"
