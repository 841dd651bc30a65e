"""Real processes, measured: equality of a layout, the rate of workers, their all-reduces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import namespaces
from benchmarks.records import read_results
from benchmarks.runner import Runner
from benchmarks.suites import collectives, equality, scaling
from benchmarks.suites._choice import Choice

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.3
# Several processes that each import TensorFlow, on a machine that others use too.
pytestmark = pytest.mark.timeout(900)


def run(folder: Path, cases: list) -> dict[str, dict]:
    """Runs the cases once; returns their rows by name."""
    Runner(folder, ["benchmarks.main", "run"], False, lambda line: None).run(cases, 1)
    return {row["case"]: row for row in read_results(folder)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "layouts",
    [["2x1"], ["1x1", "1x4", "2x2", "4x1"]],
    ids=str,
)
def test_a_layout_trains_as_one_process_does(tmp_path, layouts):
    names = [f"digits-mlp64-{layout}" for layout in layouts]
    rows = run(tmp_path, [case for case in equality.cases(Choice()) if case.name in names])
    assert list(rows) == names
    for row in rows.values():
        assert row["status"] == "ok", row["error"]
        found = row["metrics"]
        assert found["differing_examples"] == 0
        assert found["distinct_examples"] == 1437  # 60 steps of 32 are more than an epoch.
        assert 0 <= found["largest_weight_difference"] <= 1e-5
        assert len(row["samples"]["losses"]) == 60
        assert sum(map(sum, row["samples"]["confusion_matrix"])) == 360
    if "1x1" in layouts:
        assert rows["digits-mlp64-1x1"]["metrics"]["largest_weight_difference"] == 0


@pytest.mark.slow
def test_another_training_is_not_taken_for_the_same(tmp_path):
    """The layout trains with another seed: every kind of difference is in the reason."""
    flags = {"dataset": "digits", "model": "mlp64", "steps": 20, "log_every_steps": 1, "seed": 0}
    code = (
        "import sys; from benchmarks import measure_equality;"
        "measure_equality.layout_flags = lambda *_: {'seed': 7};"
        f"flags = {{**{flags!r}, 'run_dir': sys.argv[1]}};"
        "answer = measure_equality.measure_equality(flags, 1, 1);"
        "print(answer['status'], answer['error'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        cwd=ROOT, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    line = done.stdout.splitlines()[-1]
    assert line.startswith("failed not the same training: differing examples"), done.stderr
    for words in ("largest loss difference", "largest weight difference"):
        assert words in line


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
    assert one["metrics"]["exchange_share"] == one["metrics"]["all_reduce_ms"] == 0
    assert 0 < two["metrics"]["exchange_share"] < 1
    assert two["metrics"]["exchange_share"] == pytest.approx(
        two["metrics"]["exchange_ms"] / 1e3 * two["metrics"]["steps_per_second"]
    )
    assert two["metrics"]["all_reduce_ms"] > 0
    assert (one["labels"]["num_workers"], two["labels"]["num_workers"]) == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["loopback", "namespaces"])
def test_all_reduces_by_size(tmp_path, link):
    if link == "namespaces" and (reason := namespaces.why_none()):
        pytest.skip(reason)
    (case,) = (case for case in collectives.cases(Choice()) if case.name == f"{link}-2")
    case.arguments["sizes"] = [1024, 4 * 2**20]
    row = run(tmp_path, [case])[f"{link}-2"]
    assert row["status"] == "ok", row["error"]
    found = row["metrics"]
    (small, small_samples), (large, large_samples) = row["samples"]["all_reduce"]
    assert (small, large) == (1024, 4 * 2**20)
    assert len(small_samples) == len(large_samples) > 3
    assert found["all_reduce_1KiB_ms"] > 0
    assert found["all_reduce_1KiB_range_ms"] >= 0
    # Two workers each send the whole message once.
    sent = 4 * 2**20 / (found["all_reduce_4MiB_ms"] / 1e3) / 1e9
    assert found["bus_gigabytes_per_second"] == pytest.approx(sent)


def test_virtual_hosts_that_cannot_be_are_a_reason_to_skip(tmp_path, monkeypatch):
    monkeypatch.setattr(namespaces, "why_none", lambda: "network namespaces need root")
    cases = [case for case in collectives.cases(Choice()) if case.name == "namespaces-2"]
    (row,) = run(tmp_path, cases).values()
    assert (row["status"], row["error"]) == ("skipped", "network namespaces need root")


def test_workers_without_a_gpu_each_are_a_reason_to_skip(tmp_path, monkeypatch):
    from benchmarks.contenders import worker as worker_runs

    monkeypatch.setattr(worker_runs, "num_gpus", lambda: 1)
    cases = {case.name: case for case in collectives.cases(Choice())}
    (row,) = run(tmp_path, [cases["loopback-2"]]).values()
    assert (row["status"], row["error"]) == ("skipped", "2 workers need a GPU each; here: 1")
