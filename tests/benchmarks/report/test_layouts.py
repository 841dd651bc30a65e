"""The suites that are no rates: what the page says of layouts and of sums over workers."""

from __future__ import annotations

from benchmarks.report.html import render_html
from benchmarks.report.markdown import render_markdown
from benchmarks.report.outcome import outcome
from benchmarks.report.panels import bar_labels
from benchmarks.report.sections import make_section
from benchmarks.report.tables import build_entries, read_report

SAME = {
    "differing_examples": 0, "largest_loss_difference": 2e-7, "largest_weight_difference": 4e-7,
    "largest_optimizer_difference": 0, "differing_predictions": 0, "miscounted_predictions": 0,
    "agreeing_decimals": 6.4,
}  # fmt: skip
REASON = "not the same training: differing examples 4, allowed 0"


def layouts(row) -> list[dict]:
    def of(layout: str, **fields):
        labels = {"dataset": "digits", "model": "cnn", "layout": layout.replace("x", " x ")}
        return row(suite="equality", case=f"digits-cnn-{layout}", labels=labels, **fields)

    return [
        of("1x1", metrics={**SAME, "largest_weight_difference": 0, "agreeing_decimals": 9}),
        of("2x1", metrics=SAME),
        of("2x2", metrics={**SAME, "differing_examples": 4}, status="failed", error=REASON),
    ]


def test_the_outcome_names_what_broke_and_says_how_near_the_others_are(row):
    first, second, third = outcome("equality", build_entries(layouts(row)))
    assert first == "Not shown to be the same training: digits-cnn-2x2."
    assert second == (
        "2 layouts trained as one process with one replica does: every example in its place, no "
        "prediction another; the largest difference of a loss 0.000000200, of a weight 0.000000400."
    )
    assert third == "3 repeats: 2 ok, 1 failed."


def test_the_page_shows_the_differences_and_the_reason(results, row):
    report = read_report([results(layouts(row))])
    section = make_section(report, "equality")
    (table,) = section.tables
    headers = [column.header for column in table.columns]
    assert {"Agreement", "Examples", "Loss", "Weights", "Predictions"} <= set(headers)
    assert section.not_measured == []
    weights = [cells[headers.index("Weights")].text for _, cells in table.rows]
    assert weights == ["0", "0.000000400", "–"]  # noqa: RUF001
    assert [problem.reason for problem in section.problems] == [REASON]
    for page in (render_html(report), render_markdown(report)):
        assert REASON in page


def test_sums_over_workers_have_a_column_for_each_size(results, row):
    rows = [
        row(
            suite="collectives", case=f"loopback-{count}", labels={"num_workers": count},
            metrics={"all_reduce_1KiB_ms": 1.5, "all_reduce_1KiB_range_ms": 0.2,
                     "all_reduce_64MiB_ms": 150.0, "bus_gigabytes_per_second": 0.45},
        )
        for count in (2, 4)
    ]  # fmt: skip
    report = read_report([results(rows)])
    (table,) = make_section(report, "collectives").tables
    headers = [column.header for column in table.columns]
    assert headers == ["Case", "Bandwidth", "n", "Marks", "1KiB", "64MiB"]
    assert "Bandwidth" in render_html(report)


def test_scaling_over_workers_is_a_series_of_its_own_with_its_sums(results, row):
    def of(count: int, link: str | None, images: float, **metrics):
        labels = {"dataset": "mnist", "model": "cnn", "scaling": "weak", "num_replicas": count}
        if link:
            labels |= {"link": link, "num_workers": count}
        return row(
            suite="scaling", case=f"mnist-cnn-weak-{link}-{count}", labels=labels,
            metrics={"images_per_second": images, "steps_per_second": images / 256, **metrics},
        )  # fmt: skip

    rows = [
        of(1, None, 1000.0), of(2, None, 1500.0), of(1, "loopback", 800.0),
        of(2, "loopback", 1200.0, exchange_share=0.25, exchange_ms=9.0,
           gradient_bytes_per_step=4e6),
    ]  # fmt: skip
    report = read_report([results(rows)])
    section = make_section(report, "scaling")
    for words in ("one process: 2 replicas give 1.50x", "loopback: 2 replicas give 1.50x"):
        assert any(f"mnist · cnn, {words}" in sentence for sentence in section.outcome)
    assert bar_labels(report.of_suite("scaling")) == [
        "weak-None-1",
        "weak-None-2",
        "weak-loopback-1",
        "weak-loopback-2",
    ]
    cells = {
        column.header: [cells[index].text for _, cells in table.rows]
        for table in section.tables
        for index, column in enumerate(table.columns)
    }
    # A table of its own, without the rows of a single worker.
    assert cells["In the exchange"] == ["25.0"]
    assert cells["Gradients"] == ["4.00"]
