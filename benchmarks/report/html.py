"""report.html: one file that needs no network, no server and, but for sorting, no JavaScript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from benchmarks.report import formats
from benchmarks.report.cells import Cell
from benchmarks.report.entry import OURS
from benchmarks.report.machines import list_machines, missing_environments
from benchmarks.report.sections import explanations, make_section, measured_between
from benchmarks.report.tables import Report
from flowrate.pages.page import page_environment

_TEMPLATE = "template.html.jinja"
# A longer list of problems or commands is folded up.
MAX_OPEN = 12


def render_html(report: Report) -> str:
    """Returns report.html; every text of the records is escaped."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["sort_key"] = sort_key
    environment.filters["breakable"] = breakable
    sections = [make_section(report, suite) for suite in report.suites]
    return environment.get_template(_TEMPLATE).render(
        ours=OURS,
        sections=sections,
        explanations=explanations(sections),
        machines=list_machines(report),
        missing_environments=missing_environments(report),
        measured=measured_between(report.rows),
        counts=_counts(report),
        num_replaced=report.num_replaced,
        files=report.files,
        max_open=MAX_OPEN,
        nothing=formats.NOTHING,
    )


def sort_key(cell: Cell) -> str:
    """Returns what the page sorts by: a number with all its digits, a text, or nothing."""
    return "" if cell.sort is None else str(cell.sort)


def breakable(text: str) -> Markup:
    """Returns a name, escaped, that may break after its joints where the page is narrow."""
    return Markup("<wbr>").join(re.findall(r"[^-_/]*[-_/]*", text))


def _counts(report: Report) -> str:
    suites, cases = len(report.suites), len({(e.suite, e.case) for e in report.entries})
    parts: Sequence[str] = (
        formats.count_of(suites, "suite"),
        formats.count_of(cases, "case"),
        formats.count_of(len({entry.contender for entry in report.entries}), "contender"),
        formats.count_of(len(report.rows), "repeat"),
    )
    return ", ".join(parts)
