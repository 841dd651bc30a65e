"""What the terminal shows of a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowrate.text import printable
from input_pipelines.inspect import facts
from input_pipelines.inspect.example import short_name
from input_pipelines.inspect.findings import Record, headline

# The page and the record have the rest.
_MAX_CLASSES, _MAX_LINES, _MAX_OF_GROUP = 50, 20, 4


def show(record: Record, page: Path, record_file: Path) -> None:
    """Prints the findings, the classes and the figures."""
    # No markup: names may hold any characters.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(headline(record))
    for finding in record["findings"]:
        console.print(f"! {finding}")
    console.print(_class_table(record), soft_wrap=False)
    if (more := len(record["class_names"]) - _MAX_CLASSES) > 0:
        console.print(f"and {more:,} more classes")
    for section in facts.describe(record).values():
        for name, value in section:
            console.print(f"{name:<20}{value}")
    folder = record["folder"]
    _show_list(
        console, "files that cannot be used",
        [f"{short_name(each, folder)}: {each['reason']}" for each in record["undecodable"]],
    )  # fmt: skip
    _show_list(
        console, "exact duplicates",
        [_group_line(group, folder) for group in record["duplicates"]["listed"]],
    )  # fmt: skip
    console.print(f"{'page':<20}{printable(page)}")
    console.print(f"{'record':<20}{printable(record_file)}")


def _class_table(record: Record) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, show_footer=True)
    table.add_column("class", footer="all")
    splits = record["splits"]
    for name, split in splits.items():
        table.add_column(name, justify="right", footer=f"{split['examples']:,}")
        table.add_column("share", justify="right", footer=f"{split['share']:.1%}")
    for label, name in enumerate(record["class_names"][:_MAX_CLASSES]):
        rows = [split["classes"][label] for split in splits.values()]
        cells = [text for row in rows for text in (f"{row['examples']:,}", f"{row['share']:.1%}")]
        table.add_row(Text(printable(name)), *cells)
    return table


def _group_line(group: Record, folder: str | None) -> str:
    names = [
        f"{short_name(each, folder)} [{each['split']}, {printable(each['class'])}]"
        for each in group["examples"][:_MAX_OF_GROUP]
    ]
    if (more := len(group["examples"]) - _MAX_OF_GROUP) > 0:
        names.append(f"{more:,} more")
    marks = " (different labels)" * group["different_labels"]
    return " = ".join(names) + marks + " (in more than one split)" * group["across_splits"]


def _show_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"\n{title}")
    for line in lines[:_MAX_LINES]:
        console.print(f"  {line}")
    if (more := len(lines) - _MAX_LINES) > 0:
        console.print(f"  and {more:,} more: see the record")
    console.print()
