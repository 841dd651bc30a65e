"""The table of promises: what was tried how often, and what came of it."""

from __future__ import annotations

import re

import pytest

from benchmarks.report.html import render_html
from benchmarks.report.markdown import readme_table, render_markdown
from benchmarks.report.promises import figures_in_words, promises_outcome
from benchmarks.report.sections import make_section
from benchmarks.report.tables import build_entries, read_report


@pytest.fixture
def rows(row) -> list[dict]:
    def of(case: str, number: str, metrics: dict, **fields) -> dict:
        labels = {"promise": number, "title": f"{case} end nothing"}
        return row(suite="faults", case=case, labels=labels, metrics=metrics, **fields)

    return [
        of("kills", "P1, P2", {
            "attempts": 5, "attempts_kept": 5, "attempts_not_here": 0, "kills": 25,
            "most_resume_seconds": 6.5,
        }),
        of("damage", "P4", {"attempts": 4, "attempts_kept": 3, "attempts_not_here": 0},
           status="failed", error="broken: flips: not found"),
        of("disks", "P10", {"attempts": 2, "attempts_kept": 2, "attempts_not_here": 1}),
    ]  # fmt: skip


def test_the_outcome_names_what_broke(rows):
    assert promises_outcome(build_entries(rows)) == [
        "Broken: damage.",
        "2 of 3 promises kept, in 10 of 11 attempts.",
    ]


def test_figures_are_said_in_words(rows):
    assert figures_in_words(rows[0]) == ["kills\xa025", "most resume\xa06.50\xa0s"]
    assert figures_in_words({"metrics": {"told_share": 0.714}}) == ["told\xa071.4\xa0%"]


def test_the_page_has_a_line_for_each_promise(results, rows):
    report = read_report([results(rows)])
    section = make_section(report, "faults")
    (table,) = section.tables
    shown = [[cell.text for cell in cells] for _, cells in table.rows]
    assert [line[1] for line in shown] == ["5 of 5", "3 of 4", "2 of 2"]
    assert shown[0][0] == "kills end nothing"
    assert shown[0][2] == "kills\xa025, most resume\xa06.50\xa0s"
    assert "| kills 25, most resume 6.50 s |" in render_markdown(report)
    assert table.rows[1][1][1].marks == ("broken",)
    assert table.rows[2][1][1].detail == "1 not possible here"
    for page in (render_html(report), render_markdown(report)):
        assert "broken: flips: not found" in page


def test_its_sentences_break_into_lines(results, rows):
    page = render_html(read_report([results(rows)]))
    assert '<table class="cards">' in page.split("<h3>Outcome</h3>")[1]
    assert re.search(r'<th scope="row" class="sentence text"[^>]*>kills end nothing<', page)
    assert re.search(r'class="sentence text"[^>]*>kills\xa025, most resume', page)
    assert "<figure" not in page


def test_the_readme_has_the_table(results, rows):
    table = readme_table(results(rows), "faults")
    assert "| kills end nothing (P1, P2) | 5 of 5 |" in table
    assert "Nx" not in table
