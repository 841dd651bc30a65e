"""The tables of the README: made from a results folder, set between markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import PRIMARY_METRIC
from benchmarks.report import cells, formats
from benchmarks.report.columns import PRIMARY_HEADER
from benchmarks.report.entry import OURS, Entry
from benchmarks.report.formats import NOTHING
from benchmarks.report.gfm import code_cell, escaped, lines, table_lines
from benchmarks.report.machines import describe_machine, short_commit
from benchmarks.report.sections import make_section, measured_between
from benchmarks.report.tables import Report, read_report
from flowrate.errors import ConfigError
from flowrate.records import write_text

_MARKER = re.compile(r"<!-- table: (\S+) -->")


def update_file(folder: str | Path, path: str | Path) -> None:
    """Rewrites the tables of a file whose markers name a suite that the folder has results of.

    Other tables are left as they are: they may come from other folders.

    Raises:
        ConfigError: the file cannot be read, none of its markers names such a suite, or markers
            do not pair; or the folder has no results.
        DataError: a row of the records is not as it should be.
        DiskError: the file cannot be written.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}. Give a Markdown file.") from error
    suites = read_report([Path(folder)]).suites
    names = [name for name in dict.fromkeys(_MARKER.findall(text)) if name in suites]
    if not names:
        raise ConfigError(
            f"{path} has no marker <!-- table: NAME --> for {' or '.join(suites)}, "
            f"which {folder} has results of."
        )
    for name in names:
        text = replace_between_markers(text, name, readme_table(folder, name))
    write_text(path, text)


def readme_table(folder: str | Path, suite: str) -> str:
    """Returns the table of one suite for a README, a line per case, and where it was measured.

    Peers stand beside ours, each with how many times as fast ours is; accuracies and wall times
    follow in tables of their own. A suite without peers has a line for each entry.

    Raises:
        ConfigError: the folder has no results of the suite.
        DataError: a row of the records is not as it should be.
    """
    report = read_report([Path(folder)])
    entries = report.of_suite(suite)
    if not entries:
        found = ", ".join(report.suites)
        raise ConfigError(f"{folder} has no results of the suite {suite!r}; it has {found}.")
    if _has_peers(entries):
        parts = _beside_each_other(suite, entries)
    else:
        outcome = make_section(report, suite, with_pictures=False).tables[0]
        parts = [table_lines(outcome)]
    return "\n\n".join([*parts, _measured_on(report, entries)])


def replace_between_markers(text: str, name: str, table: str) -> str:
    """Returns `text` with what stands between the markers of `name` replaced by `table`.

    The markers are `<!-- table: NAME -->` and `<!-- end: NAME -->`, each on a line of its own.

    Raises:
        ConfigError: a marker is missing, stands twice, or the two are in the wrong order.
    """
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    for marker in (begin, end):
        if text.count(marker) != 1:
            times = "is missing" if marker not in text else f"stands {text.count(marker)} times"
            raise ConfigError(f"the marker {marker} {times}; it must stand once in the text.")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ConfigError(f"the marker {end} stands before {begin}; put it after the table.")
    return f"{before}{begin}\n{table.strip()}\n{end}{after}"


def _beside_each_other(suite: str, entries: Sequence[Entry]) -> list[str]:
    """Returns tables of speed, accuracy and wall time: a line per case, a column per contender."""
    order = dict.fromkeys(entry.contender for entry in entries)
    names = [OURS, *(name for name in order if name != OURS)]
    by_case: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        by_case.setdefault(entry.case, {})[entry.contender] = entry
    blocks = [
        (", ".join(PRIMARY_HEADER[PRIMARY_METRIC[suite]]), _speed_text),
        ("Test accuracy", _accuracy_text),
        ("Wall time of the whole command, s", _wall_text),
    ]
    parts = []
    for title, make in blocks:
        rows = [
            [escaped(case), *(make(found[name]) if name in found else NOTHING for name in names)]
            for case, found in by_case.items()
        ]
        if any(text != NOTHING for row in rows for text in row[1:]):
            headers = [title, *(code_cell(name) for name in names)]
            parts.append(lines(headers, rows, {0}))
    return parts


def _speed_text(entry: Entry) -> str:
    found = entry.primary
    if found is None:
        marks = cells.marks_cell(entry).marks
        return escaped(", ".join(marks)) or NOTHING
    text = formats.number(found.median)
    text += "" if found.low is None else f" ({formats.interval(found.low, found.high)})"
    if entry.speed_ratio is not None:
        text += f", {formats.times(entry.speed_ratio.ratio)}"
    reached = cells.target_cell(entry).text
    text += "" if reached == NOTHING else f", reached {reached}"
    return ", ".join([text, *cells.marks_cell(entry).marks])


def _accuracy_text(entry: Entry) -> str:
    found = entry.accuracy
    return formats.deviation(found.mean, found.deviation) if found else NOTHING


def _wall_text(entry: Entry) -> str:
    found = entry.median("wall_seconds")
    return formats.number(found.median) if found else NOTHING


def _measured_on(report: Report, entries: Sequence[Entry]) -> str:
    """Returns what a table of figures must not be without: n, the machine, versions, dates."""
    counts = sorted({len(entry.good_rows) for entry in entries if entry.good_rows})
    n = " to ".join(str(count) for count in dict.fromkeys((counts or [0])[:1] + counts[-1:]))
    # Of a skipped or failed row, the machine has made no figure.
    rows = [row for entry in entries for row in entry.good_rows or entry.rows]
    used = dict.fromkeys(row["environment_id"] for row in rows)
    machines: dict[str, dict[str, None]] = {}
    for name in used:
        if name in report.environments:
            machine, commit = _machine_and_commit(report.environments[name])
            machines.setdefault(machine, {})[commit] = None
    described = [
        f"{machine}, commit {' and '.join(commits)}" for machine, commits in machines.items()
    ]
    ratio = f"; Nx is how many times as fast {OURS} is" if _has_peers(entries) else ""
    what = (
        "One repeat" if counts[-1:] == [1]
        else f"Median of n = {n} repeats, each a fresh process, with the bootstrap 95 % interval"
    )  # fmt: skip
    return escaped(
        f"{what}{ratio}. Measured {measured_between(rows)} on "
        f"{'; '.join(described) or 'a machine that the records do not name'}."
    )


def _has_peers(entries: Sequence[Entry]) -> bool:
    return any(not entry.is_ours for entry in entries)


def _machine_and_commit(environment: dict) -> tuple[str, str]:
    facts = describe_machine(environment)
    parts = (facts["CPU"], facts["Devices"], f"Python {facts['Python']}", facts["Versions"])
    return ", ".join(part for part in parts if part != NOTHING), short_commit(environment)
