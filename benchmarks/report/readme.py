"""Tables of documents, in GitHub-flavoured Markdown, set between markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.case import OURS
from benchmarks.measure.metrics import METRICS, Metric
from benchmarks.records import Records, read_records
from benchmarks.report import formats
from benchmarks.report.entry import Entry, SuiteEntries, suites_of
from benchmarks.report.formats import NOTHING
from benchmarks.report.machines import describe_machine, short_commit
from benchmarks.report.tables import marks, metric_cell, primary_cell, suite_tables
from benchmarks.report.write import measured_between
from flowrate.errors import ConfigError
from flowrate.pages.tables import Cell
from flowrate.records import write_text

_MARKER = re.compile(r"<!-- table: (\S+) -->")
# Beside the figure that a suite is judged by, a table each, where contenders stand side by side.
_BESIDE = ("test_accuracy", "wall_seconds")


def update_file(folder: str | Path, path: str | Path) -> None:
    """Rewrites the tables of a file whose markers name a suite that the folder has results of.

    Other tables are left as they are: they may come from other folders.

    Raises:
        ConfigError: the file cannot be read, none of its markers names such a suite, or markers
            do not pair; or the folder has no results.
        DataError: a row of the records is not as it should be.
        DiskError: the file cannot be written.
    """
    path, suites = Path(path), {row["suite"] for row in read_records(folder).rows}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}. Give a Markdown file.") from error
    names = [name for name in dict.fromkeys(_MARKER.findall(text)) if name in suites]
    if not names:
        raise ConfigError(
            f"{path} has no marker <!-- table: NAME --> for {' or '.join(sorted(suites))}, "
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
    records = read_records(folder)
    found = {of.name: of for of in suites_of(records)}
    if suite not in found:
        has = ", ".join(found)
        raise ConfigError(f"{folder} has no results of the suite {suite!r}; it has {has}.")
    of = found[suite]
    if of.has_peers:
        parts = _side_by_side(of)
    else:
        table = suite_tables(of)[0][0]
        headers = [f"{c.title} ({c.unit})" if c.unit else c.title for c in table.columns]
        texts = {number for number, column in enumerate(table.columns) if column.is_text}
        parts = [_lines(headers, [list(map(_cell, row)) for row in table.rows], texts)]
    return "\n\n".join([*parts, _measured_on(records, of)])


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


def escaped(text: str) -> str:
    """Returns text that Markdown shows as it is, on one line, also within a table."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    # Within a word an underscore is only itself.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def code(text: str) -> str:
    """Returns text as code within a table; its fence is longer than any run of backticks in it."""
    text = " ".join(str(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    # A bar would end the cell even in code.
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", r"\|")


def _lines(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int]) -> str:
    """Returns a table; the columns numbered in `texts` are set to the left, others to the right."""
    rule = ["---" if number in texts else "---:" for number in range(len(headers))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headers, rule, *rows))


def _cell(cell: Cell) -> str:
    words = [escaped(cell.text), code(cell.code) if cell.code else "",
             f"({escaped(cell.detail)})" if cell.detail else "",
             *(f"**{escaped(mark)}**" for mark in cell.marks)]  # fmt: skip
    return " ".join(filter(None, words))


def _side_by_side(of: SuiteEntries) -> list[str]:
    """Returns a table for each figure: a line per case, a column per contender."""
    order = dict.fromkeys(entry.contender for entry in of.entries)
    names = [OURS, *(name for name in order if name != OURS)]
    by_case: dict[str, dict[str, Entry]] = {}
    for entry in of.entries:
        by_case.setdefault(entry.case, {})[entry.contender] = entry
    parts = []
    for metric in (of.suite.METRIC, *(METRICS[name] for name in _BESIDE)):
        rows = [
            [escaped(case), *(_text(found.get(name), metric, of) for name in names)]
            for case, found in by_case.items()
        ]
        if any(text != NOTHING for row in rows for text in row[1:]):
            headers = [f"{metric.title}, {metric.unit}", *map(code, names)]
            parts.append(_lines(headers, rows, {0}))
    return parts


def _text(entry: Entry | None, metric: Metric, of: SuiteEntries) -> str:
    if entry is None:
        return NOTHING
    if metric is not of.suite.METRIC:
        return metric_cell(entry, metric).text
    cell, ratio = primary_cell(entry, metric), of.ratios.get(entry)
    parts = [
        f"{cell.text} ({cell.detail})" if cell.detail else cell.text,
        formats.times(ratio.ratio) if ratio else "",
        *marks(entry),
    ]
    found = [part for part in parts if part not in ("", NOTHING)]
    reached = metric_cell(entry, METRICS["reached_target"]).text
    if reached != NOTHING:
        found.append(f"reached {reached}")
    return escaped(", ".join(found)) or NOTHING


def _measured_on(records: Records, of: SuiteEntries) -> str:
    """Returns what a table of figures must not be without: n, the machine, versions, dates."""
    counts = sorted({len(entry.good_rows) for entry in of.entries if entry.good_rows}) or [0]
    n = " to ".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))
    # Of a skipped or failed row, the machine has made no figure.
    rows = [row for entry in of.entries for row in entry.good_rows or entry.rows]
    machines: dict[str, dict[str, None]] = {}
    for name in dict.fromkeys(row["environment_id"] for row in rows):
        if environment := records.environments.get(name):
            facts = describe_machine(environment)
            named = (facts["CPU"], facts["Devices"], f"Python {facts['Python']}", facts["Versions"])
            machine = ", ".join(part for part in named if part != NOTHING)
            machines.setdefault(machine, {})[short_commit(environment)] = None
    described = [
        f"{machine}, commit {' and '.join(commits)}" for machine, commits in machines.items()
    ]
    ratio = f"; Nx is how many times as fast {OURS} is" if of.has_peers else ""
    what = f"Median of n = {n} repeats, each a fresh process, with the bootstrap 95 % interval"
    return escaped(
        f"{what if counts[-1] > 1 else 'One repeat'}{ratio}. Measured {measured_between(rows)} on "
        f"{'; '.join(described) or 'a machine that the records do not name'}."
    )
