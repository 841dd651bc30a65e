"""The pictures: which bars stand together, how they are named, and the SVG they become."""

from __future__ import annotations

import re

import pytest

from benchmarks.report import charts
from benchmarks.report.colors import contender_color
from benchmarks.report.panels import Bar, Panel, bar_labels, panels_of
from benchmarks.report.tables import build_entries
from flowrate.pages.drawing import INK


def bar_of(entry, label):
    found = entry.primary
    return Bar(label, entry.contender, found and found.median, text="x")


def rated(row, **fields):
    return row(metrics={"steps_per_second": 1.0}, **fields)


def test_contenders_of_a_case_share_a_panel(row):
    rows = [
        rated(row, case=case, contender=contender)
        for case in ("a", "b")
        for contender in ("flowrate", "keras_fit")
    ]
    panels = panels_of(build_entries(rows), bar_of)
    assert [panel.title for panel in panels] == ["a", "b"]
    assert [bar.label for bar in panels[0].bars] == ["flowrate", "keras_fit"]


def test_without_peers_configurations_share_a_panel(row):
    rows = [
        rated(row, case=f"{model}-{jit}-{batch}",
              labels={"dataset": "mnist", "model": model, "precision": "float32", "jit": jit,
                      "global_batch_size": batch})
        for model in ("mlp", "cnn")
        for jit in ("on", "off")
        for batch in (32, 128)
    ]  # fmt: skip
    panels = panels_of(build_entries(rows), bar_of)
    assert [panel.title for panel in panels] == ["mnist · mlp", "mnist · cnn"]
    assert [bar.label for bar in panels[0].bars] == [
        f"jit {jit} · global batch size {batch}" for jit in ("on", "off") for batch in (32, 128)
    ]


def test_single_bars_share_one_panel(row):
    rows = [
        rated(row, case=model, labels={"dataset": "mnist", "model": model})
        for model in ("mlp", "cnn")
    ]
    (panel,) = panels_of(build_entries(rows), bar_of)
    assert [bar.label for bar in panel.bars] == ["mnist · mlp", "mnist · cnn"]


def test_failures_alone_make_no_panel(row):
    rows = [row(status="failed", error="x"), rated(row, case="b")]
    assert [panel.title for panel in panels_of(build_entries(rows), bar_of)] == [
        "fashion_mnist · mlp"
    ]
    assert panels_of(build_entries(rows[:1]), bar_of) == []


def test_labels_that_do_not_tell_fall_back_on_the_case(row):
    rows = [rated(row, case=case) for case in ("a", "b")]
    assert bar_labels(build_entries(rows)) == ["a", "b"]


@pytest.mark.parametrize(("largest", "is_log"), [(29.0, False), (31.0, True)])
def test_a_wide_range_gets_a_logarithmic_axis(largest, is_log):
    bars = (Bar("a", "flowrate", 1.0, text="1.00"), Bar("b", "keras_fit", largest, text="big"))
    panel = Panel("title", bars)
    assert charts.is_logarithmic(panel) == is_log
    svg = charts.bar_panel("name", panel, "steps/s", ["flowrate", "keras_fit"])
    # A point is a marker that is used, a bar is a path of its own.
    assert ("<use" in re.sub(r"<defs>.*?</defs>", "", svg, flags=re.DOTALL)) == is_log
    assert ">big<" in svg


def test_a_drawing_takes_the_colours_of_the_page():
    panel = Panel("<t>", (Bar("a & <b>", "flowrate", 2.0, 1.0, 3.0, "2.00", 2.5),))
    svg = charts.bar_panel("name", panel, "steps/s", ["flowrate"])
    assert "var(--ink" in svg
    assert INK not in re.sub(r"var\(--ink, \S+\)", "", svg)
    assert svg.startswith("<svg viewBox=")
    assert svg.endswith("</svg>")
    assert 'aria-label="&lt;t&gt;, steps/s. a &amp; &lt;b&gt;: 2.00"' in svg
    assert not re.search(r"<metadata|<!DOCTYPE|https?:", svg)
    assert contender_color("flowrate", []) in svg


def test_formulas_are_not_read_into_names():
    panel = Panel("t", (Bar(r"$\frac{", "$x$", 2.0, text="$2$"),))
    assert r"$\frac{" in charts.bar_panel("name", panel, "steps/s", ["$x$"])


def test_other_contenders_get_colours_of_their_own():
    names = ["flowrate", "mine", "yours"]
    assert len({contender_color(name, names) for name in names}) == 3
