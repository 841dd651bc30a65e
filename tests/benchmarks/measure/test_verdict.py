"""What a run is bound by, from figures made for each case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure.verdict import judge

LABELS = {
    "global_batch_size": 32, "cache": "memory", "num_replicas": 1, "precision": "float32",
    "steps_per_call": 0,
}  # fmt: skip


def metrics(rate: float, limit: float = 100.0, images: float | None = None) -> dict[str, float]:
    values = {"steps_per_second": rate, "limit_steps_per_second": limit}
    return values if images is None else {**values, "input_images_per_second": images}


@pytest.mark.parametrize(
    ("values", "labels", "bound", "flag"),
    [
        (metrics(99), {}, "compute", None),
        (metrics(40, images=41 * 32), {}, "input", "--cache=device"),
        (metrics(40, images=41 * 32), {"cache": "none"}, "input", "--cache=disk"),
        (metrics(40, images=41 * 32), {"cache": "disk"}, "input", "--cache=memory"),
        (metrics(40, images=1e9), {}, "host", "--cache=device"),
        (metrics(40, images=1e9), {"cache": "device"}, "host", None),
        (metrics(40), {"cache": "device", "steps_per_call": 1}, "host", "--steps_per_call=0"),
        (metrics(99), {"num_replicas": 4}, "collective", "--global_batch_size=64"),
    ],
)
def test_each_bound_has_its_flag(values, labels, bound, flag):
    found = judge(values, {**LABELS, **labels}, can_bfloat16=False)
    assert (found["bound"], found["flag"]) == (bound, flag)
    assert found["text"]


def test_bfloat16_is_advised_only_where_it_would_help():
    advice = [
        judge(metrics(99), {**LABELS, "precision": precision}, can)["flag"]
        for can in (True, False)
        for precision in ("float32", "mixed_bfloat16")
    ]
    assert advice == ["--precision=auto", None, None, None]


@given(rate=st.floats(0.1, 200), limit=st.floats(0.1, 200), images=st.floats(1, 1e6))
def test_any_figures_have_a_verdict(rate, limit, images):
    found = judge(metrics(rate, limit, images), LABELS, can_bfloat16=False)
    assert found["bound"] in ("compute", "input", "host")
    # Whoever reaches the bare step is not held up by anything else.
    assert found["bound"] == "compute" or rate < 0.95 * limit
