"""Tables and bars as a page shows them: escaped, sortable, and in proportion."""

from __future__ import annotations

import pytest

from flowrate.pages.bars import Bar, Bars
from flowrate.pages.colors import phase_color, series_color
from flowrate.pages.page import page_environment
from flowrate.pages.tables import Cell, Column, Table


@pytest.fixture
def render(tmp_path):
    def text(template: str, **values) -> str:
        head = '{% from "pictures.html.jinja" import bars_of %}'
        head += '{% from "tables.html.jinja" import table_of %}'
        return page_environment(tmp_path).from_string(head + template).render(**values)

    return text


def test_a_table_is_escaped_and_keeps_what_it_sorts_by(render):
    table = Table(
        "A <title>",
        [Column("Name", is_text=True), Column("Rate", "steps/s")],
        [
            [Cell("a-b_<c>", sort="a"), Cell("4,933", "4,741 to 5,126", sort=4932.6)],
            [Cell("other"), Cell(marks=("failed",))],
        ],
        frozenset({0}),
    )
    text = render("{{ table_of(t) }}", t=table)
    assert 'aria-label="A &lt;title&gt;"' in text
    assert "a-<wbr>b_<wbr>&lt;c&gt;" in text
    assert 'data-sort="4932.6"' in text
    assert 'data-sort=""' in text
    assert text.count('class="ours"') == 1
    assert '<span class="mark">failed</span>' in text
    assert '<span class="detail">steps/s</span>' in text


def test_bars_are_in_proportion_and_escaped(render):
    bars = Bars(
        "<t>",
        (
            Bar("a & <b>", "2.00", ((2.0, "red"),), (1.0, 3.0), mark=4.0),
            Bar("two", "1.00", ((0.5, "red"), (0.5, "blue"))),
            Bar("none", "failed"),
        ),
    )
    one, two, none = bars.drawn()
    ((start, width, color),) = one.parts
    assert (start, color) == (0, "red")
    assert width == pytest.approx(one.mark / 2, abs=0.02)
    assert one.interval == (
        pytest.approx(width / 2, abs=0.02),
        pytest.approx(1.5 * width, abs=0.02),
    )
    assert two.parts[1][0] == two.parts[0][1]
    assert none.parts == ()
    text = render("{{ bars_of(b) }}", b=bars)
    assert "a &amp; &lt;b&gt;" in text
    assert text.count("<rect") == 3
    assert text.count('class="limit"') == 1


@pytest.mark.parametrize(("largest", "is_log"), [(29.0, False), (31.0, True)])
def test_a_wide_range_gets_points_on_a_logarithmic_axis(render, largest, is_log):
    bars = Bars("t", (Bar("a", "1", ((1.0, "red"),)), Bar("b", "big", ((largest, "red"),))))
    assert bars.is_log == is_log
    assert ("<rect" in render("{{ bars_of(b) }}", b=bars)) != is_log
    places = [drawn.parts[0][0] for drawn in bars.drawn()]
    assert (places[0] < places[1]) == is_log


def test_each_series_and_each_phase_has_a_colour_of_its_own():
    names = ["flowrate", "mine", "yours"]
    assert len({series_color(name, names) for name in names}) == 3
    phases = ["train", "mine", "yours"]
    assert len({phase_color(name, phases) for name in phases}) == 3
    assert phase_color("train", phases) == phase_color("train", ["train"])
