"""Checks as they are read: a table on a terminal, plain lines of 80 columns elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from collections.abc import Iterable, Iterator

from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check

_COLORS = {OK: "green", WARNING: "yellow", FAILED: "bold red", ABSENT: "dim"}
_COLUMNS = 80
_VERDICT_WIDTH, _NAME_WIDTH, _NAME_COLUMN_WIDTH = 8, 18, 22


def show(checks: Iterable[Check]) -> list[Check]:
    """Prints each check as it is made; returns them all.

    Args:
        checks: in order of their sections.
    """
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        return _show_on_terminal(checks)
    shown: list[Check] = []
    for check in checks:
        if not shown or shown[-1].section != check.section:
            print(check.section)
        for line in plain_lines(check):
            print(line, flush=True)
        shown.append(check)
    return shown


def plain_lines(check: Check) -> Iterator[str]:
    """Yields the lines of a check, none beyond 80 columns unless a single word is."""
    indent = " " * (_VERDICT_WIDTH + 2)
    head = f"  {check.verdict:<{_VERDICT_WIDTH}}{check.name}"
    name_end = len(indent) + _NAME_WIDTH
    head = head.ljust(name_end) if len(head) < name_end else f"{head}: "
    yield from _wrapped(head + check.found, indent + "  ")
    if check.to_do:
        yield from _wrapped(f"{indent}> {check.to_do}", indent + "  ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=True,
    ) or [text]  # fmt: skip


def _show_on_terminal(checks: Iterable[Check]) -> list[Check]:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    shown: list[Check] = []
    with console.status("looking") as status:
        for check in checks:
            if not shown or shown[-1].section != check.section:
                console.print(Text(f"\n{check.section}", style="bold"))
                status.update(f"looking: {check.section}")
            console.print(_row(check))
            shown.append(check)
    return shown


def _row(check: Check):
    """Returns a table of one row: sections are printed while later ones are not known yet."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(width=_VERDICT_WIDTH)
    row.add_column(width=_NAME_COLUMN_WIDTH, overflow="fold")
    row.add_column(ratio=1, overflow="fold")
    found = Text(check.found)
    if check.to_do:
        found.append(f"\n{check.to_do}", style="cyan")
    row.add_row(Text(check.verdict, style=_COLORS[check.verdict]), Text(check.name), found)
    return row
