"""Rows become entries: medians, ratios, deviations, verdicts; and sentences that say the same."""

from __future__ import annotations

import math

import pytest

from benchmarks.records import read_records
from benchmarks.report.entry import suites_of
from benchmarks.report.outcome import outcome


@pytest.fixture
def entries_of(results):
    """Returns a function: rows of one suite -> what the report has of it."""

    def read(rows):
        (of,) = suites_of(read_records(results(rows)))
        return of

    return read


def rated(row, case, contender, rates, **metrics):
    return [
        row(case=case, contender=contender, repeat=i, metrics={"steps_per_second": rate, **metrics})
        for i, rate in enumerate(rates)
    ]


def test_the_median_is_over_the_good_repeats(entries_of, row):
    rows = rated(row, "a", "flowrate", (100.0, 300.0, 120.0))
    rows.append(row(case="a", repeat=3, status="failed", error="it broke"))
    (entry,) = entries_of(rows).entries
    assert entry.primary.median == 120
    assert (entry.primary.low, entry.primary.high, entry.primary.n) == (100, 300, 3)
    assert len(entry.rows) == 4


def test_the_ratio_is_ours_over_theirs(entries_of, row):
    of = entries_of(
        rated(row, "a", "keras_fit", (100.0, 100.0)) + rated(row, "a", "flowrate", (400.0, 900.0))
    )
    ours, theirs = of.entries
    assert (ours.contender, [*of.ratios]) == ("flowrate", [theirs])
    ratio = of.ratios[theirs]
    # Geometric means: sqrt(400 * 900) / 100.
    assert ratio.ratio == pytest.approx(6)
    assert ratio.low < 6 < ratio.high
    assert ratio.low * ratio.high == pytest.approx(36)


def test_a_ratio_of_times_is_above_one_where_ours_takes_less(entries_of, row):
    of = entries_of(
        [
            row(suite="accuracy", contender=contender, metrics={"seconds_to_target": seconds})
            for contender, seconds in (("flowrate", 4.0), ("keras_fit", 6.0))
        ]
    )
    (ratio,) = of.ratios.values()
    assert (ratio.ratio, ratio.low, ratio.high) == (pytest.approx(1.5), None, None)


def test_no_ratio_where_a_side_has_no_figure(entries_of, row):
    rows = [row(case="a", status="out_of_memory", error="12 GiB asked")]
    assert entries_of(rows + rated(row, "a", "keras_fit", [9.0])).ratios == {}


def test_the_deviation_is_over_seeds_not_over_repeats(entries_of, row):
    accuracies = [(0, 0.80), (0, 0.82), (1, 0.85), (2, 0.90)]
    rows = [
        row(repeat=i, seed=seed, metrics={"test_accuracy": accuracy})
        for i, (seed, accuracy) in enumerate(accuracies)
    ]
    (entry,) = entries_of(rows).entries
    found = entry.over_seeds("test_accuracy")
    # Seeds 0.81, 0.85, 0.90: mean 0.85333, squares 0.001878 + 0.000011 + 0.002178 over 2.
    assert (found.mean, found.n) == (pytest.approx(0.853333, abs=1e-6), 3)
    assert found.deviation == pytest.approx(math.sqrt(0.0040667 / 2), abs=1e-5)


def test_phases_add_up_to_the_wall_time(entries_of, row):
    rows = [
        row(repeat=i, wall_seconds=20.0, phases={"import": 4.0, "train": train})
        for i, train in enumerate((9.0, 10.0, 14.0))
    ]
    part = row(contender="jax_scan", labels={"max_steps_per_epoch": 40}, phases={"train": 1.0})
    ours, theirs = entries_of([*rows, part]).entries
    assert ours.phases() == {"import": 4, "train": 10, "other": 6}
    # A part of the work tells nothing of the time for the whole.
    assert (theirs.phases(), theirs.values("wall_seconds")) == ({}, ())


def test_the_verdict_is_that_of_most_repeats(entries_of, row):
    verdicts = [
        {"bound": "input", "text": "first", "flag": "--cache=device"},
        {"bound": "compute", "text": "odd one out", "flag": None},
        {"bound": "input", "text": "last", "flag": "--cache=device"},
    ]
    (entry,) = entries_of([row(repeat=i, verdict=v) for i, v in enumerate(verdicts)]).entries
    assert entry.verdict["text"] == "last"


def test_a_metric_may_be_zero(entries_of, row):
    (entry,) = entries_of(
        [row(repeat=i, metrics={"reached_target": i % 2}) for i in range(3)]
    ).entries
    found = entry.median("reached_target")
    assert (found.median, found.low, found.n) == (0, None, 3)


def test_won_undecided_and_lost(entries_of, row):
    rows = [
        *rated(row, "won", "flowrate", (1000.0, 1001.0, 1002.0)),
        *rated(row, "won", "keras_fit", (100.0, 100.1, 100.2)),
        *rated(row, "won", "jax_scan", (500.0, 500.1, 500.2)),
        *rated(row, "level", "flowrate", (100.0, 150.0, 200.0)),
        *rated(row, "level", "keras_fit", (100.0, 160.0, 220.0)),
        *rated(row, "lost", "flowrate", (100.0, 100.1, 100.2)),
        *rated(row, "lost", "torch_eager", (200.0, 200.2, 200.4)),
    ]
    first, second, third = outcome(entries_of(rows))
    assert "fastest on 1 of 3 cases" in first
    assert "(keras_fit 1.05x on level)" in first
    assert "behind (torch_eager 2.00x on lost)" in first
    assert "keras_fit 0.948 to 10.0x, jax_scan 2.00x, torch_eager 0.500x" in second
    assert third == "21 repeats: 21 ok."


def test_a_single_run_wins_nothing_clearly(entries_of, row):
    rows = [*rated(row, "a", "flowrate", [900.0]), *rated(row, "a", "keras_fit", [100.0])]
    assert "fastest on 0 of 1 case; on 1 it cannot be told" in outcome(entries_of(rows))[0]


def test_rates_without_peers(entries_of, row):
    rows = [
        *rated(row, "slow", "flowrate", [25.3], efficiency=0.91),
        *rated(row, "fast", "flowrate", [4933.0], efficiency=0.98),
    ]
    assert outcome(entries_of(rows)) == [
        "2 cases from 25.3 steps/s (slow) to 4,933 steps/s (fast).",
        "1 of 2 cases run at 0.95 of the limit or more; the lowest is 0.910 (slow).",
        "2 repeats: 2 ok.",
    ]


def test_failures_and_noise_are_counted(entries_of, row):
    rows = [
        row(repeat=0, health={"noisy": True}),
        row(repeat=1, status="failed", error="x"),
        row(repeat=2, status="skipped", error="y"),
    ]
    assert outcome(entries_of(rows)) == [
        "No case gave a figure.",
        "3 repeats: 1 ok, 1 failed, 1 skipped; 1 noisy.",
    ]


def test_a_missed_target_is_counted(entries_of, row):
    rows = [
        row(suite="accuracy", repeat=i, metrics={"reached_target": int(i < 4)}) for i in range(5)
    ]
    assert outcome(entries_of(rows))[0] == "The target accuracy was reached in 4 of 5 runs."


def test_scaling_is_held_against_one_replica_of_the_same_kind_and_link(entries_of, row):
    def measured(kind, link, replicas, images):
        labels = {"dataset": "mnist", "model": "cnn", "scaling": kind, "num_replicas": replicas}
        labels |= {"link": link} if link else {}
        return [
            row(suite="scaling", case=f"mnist-cnn-{kind}-{link}-{replicas}", repeat=repeat,
                labels=labels, metrics={"images_per_second": images})
            for repeat in range(2)
        ]  # fmt: skip

    of = entries_of(
        [
            *measured("weak", None, 4, 3000.0),
            *measured("weak", None, 1, 1000.0),
            *measured("weak", "loopback", 2, 900.0),
            *measured("weak", "loopback", 1, 600.0),
            *measured("strong", None, 2, 900.0),
        ]
    )
    assert {entry.case: ratio.ratio for entry, ratio in of.ratios.items()} == {
        "mnist-cnn-weak-None-4": pytest.approx(3),
        "mnist-cnn-weak-loopback-2": pytest.approx(1.5),
    }
    assert set(outcome(of)[:2]) == {
        "mnist · cnn · weak · one process: 4 replicas give 3 times the images/s of one.",
        "mnist · cnn · weak · loopback: 2 replicas give 1.5 times the images/s of one.",
    }
    assert of.suite.mark(of.entries[0], of.entries) == 4000
