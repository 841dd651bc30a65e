"""Writes report.html and report.csv into a results folder."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import OURS
from benchmarks.records import RECORDS_NAME, Records, Row, read_records
from benchmarks.report import formats
from benchmarks.report.entry import Entry, SuiteEntries, suites_of
from benchmarks.report.machines import list_machines
from benchmarks.report.outcome import outcome
from benchmarks.report.pictures import Picture, pictures
from benchmarks.report.tables import problem_table, suite_tables
from flowrate.errors import ConfigError
from flowrate.pages.page import page_environment
from flowrate.pages.tables import Table
from flowrate.records import write_text

_FIELDS = (
    "suite", "case", "contender", "repeat", "seed", "status", "error",
    "environment_id", "started_at", "wall_seconds", "command",
)  # fmt: skip
_GROUPS = ("labels", "metrics", "phases", "verdict", "health")


@dataclasses.dataclass(frozen=True)
class _Section:
    """What the page says of a suite."""

    name: str
    title: str
    purpose: str
    outcome: list[str]
    tables: list[Table]
    not_measured: list[str]
    problems: Table
    pictures: list[Picture]
    entries: list[Entry]


def write_report(folder: str | Path) -> list[Path]:
    """Writes report.html and report.csv; the same records give the same bytes.

    Raises:
        ConfigError: the folder is missing or holds no results.
        DataError: a row of the records is not as it should be.
        DiskError: a file cannot be written.
    """
    folder = Path(folder)
    records = read_records(folder)
    if not records.rows:
        suites = f" of suites that there are ({', '.join(records.left_out)} are none)"
        raise ConfigError(
            f"{folder}: no results{suites if records.left_out else ''} in {RECORDS_NAME} yet. "
            "Let `python -m benchmarks.main run --output=DIR` end a case first."
        )
    texts = {"report.html": render_html(records), "report.csv": render_csv(records.rows)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def render_html(records: Records) -> str:
    """Returns the page; every text of the records is escaped."""
    sections = [_section(of) for of in suites_of(records)]
    machines = list_machines(records)
    return (
        page_environment(Path(__file__).parent)
        .get_template("report.html.jinja")
        .render(
            ours=OURS,
            sections=sections,
            meanings=_meanings(sections),
            machines=machines,
            missing_environments=sorted(
                {row["environment_id"] for row in records.rows} - records.environments.keys()
            ),
            measured=measured_between(records.rows),
            counts=_counts(sections, records.rows),
            num_replaced=records.num_replaced,
            left_out=records.left_out,
            nothing=formats.NOTHING,
        )
    )


def render_csv(rows: Sequence[Row]) -> str:
    """Returns a line for each result, every label, metric and phase a column; all digits kept.

    Columns: the fields of a result, then `labels.NAME`, `metrics.NAME`, `phases.NAME`,
    `verdict.NAME` and `health.NAME`. A field that a row does not have is empty.
    """
    lines = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    columns.sort(key=lambda name: _GROUPS.index(name.partition(".")[0]) if "." in name else -1)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def measured_between(rows: Sequence[Row]) -> str:
    """Returns the dates of the first and the last repeat, as recorded (UTC)."""
    dates = sorted(row["started_at"][:10] for row in rows)
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def _section(of: SuiteEntries) -> _Section:
    tables, not_measured = suite_tables(of)
    title = of.suite.TITLE
    return _Section(
        of.name,
        of.name.replace("_", " ").capitalize(),
        f"{title[0].upper()}{title[1:]}.",
        outcome(of),
        tables,
        not_measured,
        problem_table(of.entries),
        pictures(of),
        of.entries,
    )


def _meanings(sections: Sequence[_Section]) -> dict[str, str]:
    """Returns what each column means; a title may mean more where suites differ."""
    found: dict[str, dict[str, None]] = {}
    for section in sections:
        for table in section.tables:
            for column in table.columns:
                found.setdefault(column.title, {})[column.meaning] = None
    return {title: " ".join(meanings) for title, meanings in found.items()}


def _counts(sections: Sequence[_Section], rows: Sequence[Row]) -> str:
    entries = [entry for section in sections for entry in section.entries]
    counts = {
        "suite": len(sections),
        "case": len({(entry.suite, entry.case) for entry in entries}),
        "contender": len({entry.contender for entry in entries}),
        "repeat": len(rows),
    }
    return ", ".join(formats.count_of(count, name) for name, count in counts.items())


def _flat(row: Row) -> dict[str, Any]:
    line = {name: row[name] for name in _FIELDS}
    for group in _GROUPS:
        for name, value in (row[group] or {}).items():
            text = "; ".join(map(str, value)) if isinstance(value, list) else value
            line[f"{group}.{name}"] = text
    return line
