"""The sentences above the tables say what the figures say."""

from __future__ import annotations

from benchmarks.report.outcome import outcome
from benchmarks.report.scaling import scaling_series
from benchmarks.report.tables import build_entries


def rated(row, case, contender, rates, **metrics):
    return [
        row(case=case, contender=contender, repeat=i, metrics={"steps_per_second": rate, **metrics})
        for i, rate in enumerate(rates)
    ]


def sentences(rows, suite="tutorials"):
    return outcome(suite, build_entries(rows))


def test_won_undecided_and_lost(row):
    rows = [
        *rated(row, "won", "flowrate", (1000.0, 1001.0, 1002.0)),
        *rated(row, "won", "keras_fit", (100.0, 100.1, 100.2)),
        *rated(row, "won", "jax_scan", (500.0, 500.1, 500.2)),
        *rated(row, "level", "flowrate", (100.0, 150.0, 200.0)),
        *rated(row, "level", "keras_fit", (100.0, 160.0, 220.0)),
        *rated(row, "lost", "flowrate", (100.0, 100.1, 100.2)),
        *rated(row, "lost", "torch_eager", (200.0, 200.2, 200.4)),
    ]
    first, second, *_ = sentences(rows)
    assert first.startswith("Flowrate is clearly the fastest on 1 of 3 cases; on 1 it cannot be ")
    assert "told from the fastest (keras_fit 1.05x on level); " in first
    assert first.endswith("on 1 it is behind (torch_eager 2.00x on lost).")
    assert second == (
        "Flowrate's speed over that of the others: keras_fit 0.948 to 10.0x, jax_scan 2.00x, "
        "torch_eager 0.500x."
    )


def test_a_single_run_wins_nothing_clearly(row):
    rows = [*rated(row, "a", "flowrate", [900.0]), *rated(row, "a", "keras_fit", [100.0])]
    assert sentences(rows)[0].startswith("Flowrate is clearly the fastest on 0 of 1 case; on 1 it")


def test_rates_without_peers(row):
    rows = [
        *rated(row, "slow", "flowrate", [25.3], efficiency=0.91),
        *rated(row, "fast", "flowrate", [4933.0], efficiency=0.98),
    ]
    assert sentences(rows) == [
        "2 cases from 25.3 steps/s (slowest: slow) to 4,933 steps/s (fast).",
        "1 of 2 cases run at 0.95 of the limit or more; the lowest is 0.910 (slow).",
        "2 repeats: 2 ok.",
    ]


def test_failures_and_noise_are_counted(row):
    rows = [
        row(repeat=0, health={"noisy": True}),
        row(repeat=1, status="failed", error="x"),
        row(repeat=2, status="skipped", error="y"),
    ]
    assert sentences(rows) == [
        "No case gave a figure.",
        "3 repeats: 1 ok, 1 failed, 1 skipped; 1 noisy.",
    ]


def test_targets(row):
    rows = [
        row(suite="accuracy", repeat=i, metrics={"reached_target": int(i < 4)}) for i in range(5)
    ]
    assert "The target accuracy was reached in 4 of 5 runs." in sentences(rows, "accuracy")


def test_scaling_series(row):
    def measured(kind, replicas, repeat, images):
        labels = {"dataset": "mnist", "model": "cnn", "scaling": kind, "num_replicas": replicas,
                  "global_batch_size": 64 * replicas}  # fmt: skip
        return row(suite="scaling", case=f"{kind}-{replicas}", repeat=repeat, labels=labels,
                   metrics={"images_per_second": images})  # fmt: skip

    rows = [
        measured(kind, replicas, repeat, images * factor)
        for kind in ("weak", "strong")
        for replicas, images in ((4, 3000.0), (1, 1000.0))
        for repeat, factor in enumerate((1.0, 1.0))
    ]
    entries = build_entries(rows)
    series = scaling_series(entries)
    assert [(one.group, one.name) for one in series] == [
        ("mnist · cnn", "weak"),
        ("mnist · cnn", "strong"),
    ]
    assert [point.num_replicas for point in series[0].points] == [1, 4]
    last = series[0].points[-1]
    assert (round(last.efficiency, 9), round(last.efficiency_low, 9)) == (0.75, 0.75)
    assert outcome("scaling", entries)[0] == (
        "mnist · cnn, weak: 4 replicas give 3.00x the images/s of one, "
        "efficiency 0.750 (0.750 to 0.750)."
    )


def test_a_recorded_scaling_efficiency_is_taken_as_it_is(row):
    def measured(replicas, **metrics):
        labels = {"num_replicas": replicas}
        metrics = {"images_per_second": 100.0 * replicas, **metrics}
        return row(suite="scaling", case=f"on-{replicas}", labels=labels, metrics=metrics)

    (series,) = scaling_series(
        build_entries([measured(1), measured(2, scaling_efficiency=0.7), measured(4)])
    )
    assert [round(point.efficiency, 9) for point in series.points] == [1, 0.7, 1]
