"""Real processes, measured: the rate of workers, and what their exchange costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.case import Choice
from benchmarks.machine import namespaces
from benchmarks.measure import worker
from benchmarks.records import read_results
from benchmarks.runner import Runner
from benchmarks.suites import exchange, scaling

SECONDS = 0.3
# Several processes that each import TensorFlow, on a machine that others use too.
pytestmark = pytest.mark.timeout(900)


def run(folder: Path, cases: list) -> dict[str, dict]:
    """Runs the cases once; returns their rows by name."""
    Runner(folder, ["benchmarks.main", "run"], False, lambda line: None).run(cases, 1)
    return {row["case"]: row for row in read_results(folder)}


@pytest.mark.slow
def test_the_rate_of_workers_and_the_share_of_their_sums(tmp_path):
    cases = [
        case
        for case in scaling.cases(Choice(seconds=SECONDS, models=("cnn",)))
        if case.name in ("mnist-cnn-weak-loopback-1", "mnist-cnn-weak-loopback-2")
    ]
    flags = {"dataset": "digits", "global_batch_size": 32}
    for case in cases:
        case.flags.update(flags)
    one, two = run(tmp_path, cases).values()
    for row in (one, two):
        assert row["status"] == "ok", row["error"]
        found = row["metrics"]
        assert found["images_per_second"] == pytest.approx(32 * found["steps_per_second"])
        # 72,842 parameters at 8 x 8: the convolutions keep the size of so small an image.
        assert found["gradient_bytes_per_step"] == 4 * 72_842
        assert row["labels"]["link"] == "loopback"
        steps, seconds = map(sum, zip(*row["samples"]["segments"]))
        assert found["steps_per_second"] == pytest.approx(steps / seconds)
        assert seconds >= SECONDS
    assert one["metrics"]["exchange_share"] == 0
    assert 0 < two["metrics"]["exchange_share"] < 1
    assert two["metrics"]["exchange_share"] == pytest.approx(
        two["metrics"]["exchange_ms"] / 1e3 * two["metrics"]["steps_per_second"]
    )
    assert (one["labels"]["num_workers"], two["labels"]["num_workers"]) == (1, 2)


@pytest.mark.parametrize(
    ("link", "num_gpus", "reason"),
    [
        ("namespaces", 0, "network namespaces need root"),
        ("loopback", 1, "2 workers need a GPU each; here: 1"),
        ("namespaces", 2, "virtual hosts do not share out GPUs"),
    ],
)
def test_workers_that_cannot_be_had_are_a_reason_to_skip(
    tmp_path, monkeypatch, link, num_gpus, reason
):
    monkeypatch.setattr(namespaces, "why_none", lambda: "network namespaces need root")
    monkeypatch.setattr(worker, "num_gpus", lambda: num_gpus)
    name = f"mnist-mlp-{link}-float32-whole"
    (row,) = run(tmp_path, [c for c in exchange.cases(Choice()) if c.name == name]).values()
    assert (row["status"], row["error"]) == ("skipped", reason)
    assert row["labels"]["message"] == "float32-whole"
