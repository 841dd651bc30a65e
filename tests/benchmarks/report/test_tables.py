"""Rows become entries: medians, ratios, deviations, verdicts, and nothing lost."""

from __future__ import annotations

import math

import pytest

from benchmarks.report.tables import read_report
from flowrate.errors import ConfigError, DataError


def entries_of(folder):
    return {(e.suite, e.case, e.contender): e for e in read_report([folder]).entries}


def the_entry(folder):
    (entry,) = read_report([folder]).entries
    return entry


def test_median_over_the_good_repeats(results, row):
    values = [100.0, 300.0, 120.0]
    rows = [row(repeat=i, metrics={"steps_per_second": v}) for i, v in enumerate(values)]
    rows.append(row(repeat=3, status="failed", error="it broke"))
    entry = the_entry(results(rows))
    assert entry.primary.median == 120
    assert (entry.primary.low, entry.primary.high, entry.primary.n) == (100, 300, 3)
    assert [other["error"] for other in entry.other_rows] == ["it broke"]


def test_a_repeat_run_again_counts_once(results, row):
    rows = [
        row(status="failed", error="disk full"),
        row(metrics={"steps_per_second": 50.0}),
        row(repeat=1, metrics={"steps_per_second": 70.0}),
    ]
    report = read_report([results(rows)])
    assert report.num_replaced == 1
    assert report.entries[0].values("steps_per_second") == (50, 70)
    assert not report.entries[0].other_rows


def test_ratio_is_ours_over_theirs(results, row):
    rows = [row(repeat=i, metrics={"steps_per_second": v}) for i, v in enumerate((400.0, 900.0))]
    rows += [
        row(contender="keras_fit", repeat=i, metrics={"steps_per_second": v})
        for i, v in enumerate((100.0, 100.0))
    ]
    entries = entries_of(results(rows))
    ours = entries["tutorials", "fashion_mnist-mlp", "flowrate"]
    theirs = entries["tutorials", "fashion_mnist-mlp", "keras_fit"]
    assert ours.speed_ratio is None
    # Geometric means: sqrt(400 * 900) / 100.
    assert theirs.speed_ratio.ratio == pytest.approx(6)
    assert theirs.speed_ratio.low < 6 < theirs.speed_ratio.high
    assert theirs.speed_ratio.low * theirs.speed_ratio.high == pytest.approx(36)


def test_ratio_of_times_is_above_one_where_ours_takes_less(results, row):
    def startup(contender, seconds):
        metrics = {"first_step_seconds": seconds}
        return row(suite="startup", contender=contender, metrics=metrics)

    entries = entries_of(results([startup("flowrate", 4.0), startup("keras_fit", 6.0)]))
    ratio = entries["startup", "fashion_mnist-mlp", "keras_fit"].speed_ratio
    assert ratio.ratio == pytest.approx(1.5)
    assert (ratio.low, ratio.high) == (None, None)


def test_no_ratio_where_a_side_has_no_figure(results, row):
    rows = [
        row(status="out_of_memory", error="12 GiB asked"),
        row(contender="keras_fit", metrics={"steps_per_second": 9.0}),
    ]
    assert all(entry.speed_ratio is None for entry in read_report([results(rows)]).entries)


def test_deviation_is_over_seeds_not_over_repeats(results, row):
    accuracies = [(0, 0.80), (0, 0.82), (1, 0.85), (2, 0.90)]
    rows = [
        row(repeat=i, seed=seed, metrics={"test_accuracy": accuracy})
        for i, (seed, accuracy) in enumerate(accuracies)
    ]
    found = the_entry(results(rows)).accuracy
    # Seeds 0.81, 0.85, 0.90: mean 0.85333, squares 0.001878 + 0.000011 + 0.002178 over 2.
    assert (found.mean, found.n) == (pytest.approx(0.853333, abs=1e-6), 3)
    assert found.deviation == pytest.approx(math.sqrt(0.0040667 / 2), abs=1e-5)
    (single,) = read_report([results(rows[:2], name="single")]).entries
    assert (single.accuracy.mean, single.accuracy.deviation) == (pytest.approx(0.81), None)


def test_phases_add_up_to_the_wall_time(results, row):
    rows = [
        row(repeat=i, wall_seconds=20.0, phases={"import": 4.0, "train": train})
        for i, train in enumerate((9.0, 10.0, 14.0))
    ]
    assert the_entry(results(rows)).phases() == {"import": 4, "train": 10, "other": 6}


def test_verdict_is_that_of_most_repeats(results, row):
    verdicts = [
        {"bound": "input", "text": "first", "flag": "--cache=device"},
        {"bound": "compute", "text": "odd one out", "flag": None},
        {"bound": "input", "text": "last", "flag": "--cache=device"},
    ]
    rows = [row(repeat=i, verdict=verdict) for i, verdict in enumerate(verdicts)]
    assert the_entry(results(rows)).verdict["text"] == "last"


def test_a_metric_may_be_zero(results, row):
    rows = [row(repeat=i, metrics={"reached_target": i % 2}) for i in range(3)]
    found = the_entry(results(rows)).median("reached_target")
    assert (found.median, found.low, found.n) == (0, None, 3)


def test_every_row_is_in_an_entry(results, realistic_rows):
    report = read_report([results(realistic_rows)])
    assert len(report.rows) == len(realistic_rows) == sum(len(e.rows) for e in report.entries)
    assert {row["status"] for row in report.rows} == {"ok", "failed", "out_of_memory", "skipped"}
    assert report.suites == [
        "tutorials", "throughput", "scaling", "input", "accuracy", "startup",
    ]  # fmt: skip


def test_ours_is_first_in_each_case(results, row):
    rows = [row(contender=name) for name in ("torch_eager", "flowrate", "keras_fit")]
    entries = read_report([results(rows)]).entries
    assert [entry.contender for entry in entries] == ["flowrate", "torch_eager", "keras_fit"]


def test_several_folders(results, row):
    first = results([row(metrics={"steps_per_second": 1.0})], name="a")
    second = results([row(metrics={"steps_per_second": 2.0}), row(case="other")], name="b")
    report = read_report([first, second])
    assert report.entries[0].values("steps_per_second") == (2,)
    assert (len(report.rows), report.num_replaced) == (2, 1)
    assert report.files == ("a/records.jsonl", "b/records.jsonl")


def test_folders_without_results(results, tmp_path):
    for folder, words in (
        (tmp_path / "missing", "is not a folder"),
        (results([], name="nothing"), "no results in records.jsonl yet"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            read_report([folder])
        assert "\n" not in str(caught.value)


def test_a_row_that_is_not_one(results, row):
    bad = row(metrics={"steps_per_second": "fast"})
    with pytest.raises(DataError, match="steps_per_second"):
        read_report([results([bad])])
