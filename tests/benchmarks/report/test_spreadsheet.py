"""report.csv: every result, every label and metric, all digits."""

from __future__ import annotations

import csv

from benchmarks.report import write_report


def lines_of(folder):
    with write_report(folder)[2].open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_line_per_result(results, realistic_rows):
    lines = lines_of(results(realistic_rows))
    keys = ("suite", "case", "contender")
    wanted = sorted((*(row[key] for key in keys), str(row["repeat"])) for row in realistic_rows)
    assert sorted((*(line[key] for key in keys), line["repeat"]) for line in lines) == wanted
    by_key = {(*(line[key] for key in keys), line["repeat"]): line for line in lines}
    for row in realistic_rows:
        line = by_key[(*(row[key] for key in keys), str(row["repeat"]))]
        assert line["status"] == row["status"]
        assert line["error"] == (row["error"] or "")
        assert line["command"] == row["command"]
        for group in ("labels", "metrics", "phases"):
            for name, value in row[group].items():
                shown = line[f"{group}.{name}"]
                assert shown == str(value)
                if isinstance(value, float):
                    assert float(shown) == value
        assert line["health.noisy"] == str(row["health"]["noisy"])


def test_what_a_row_does_not_have_is_empty(results, row):
    rows = [
        row(labels={"dataset": "mnist", "jit": None}, metrics={"steps_per_second": 0.1 + 0.2}),
        row(repeat=1, status="failed", error='one, "two"\nthree'),
    ]
    first, second = lines_of(results(rows))
    assert first["metrics.steps_per_second"] == "0.30000000000000004"
    assert first["labels.jit"] == ""
    assert second["metrics.steps_per_second"] == ""
    assert second["error"] == 'one, "two"\nthree'
