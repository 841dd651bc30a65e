"""Checks as they are read: a table on a terminal, plain lines of 80 columns elsewhere."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator

from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check

_COLORS = {OK: "green", WARNING: "yellow", FAILED: "bold red", ABSENT: "dim"}
_COLUMNS = 80
_VERDICT_WIDTH, _NAME_WIDTH = 8, 18


def show(checks: Iterable[Check]) -> list[Check]:
    """Prints each check as it is made; returns them all.

    Args:
        checks: in order of their sections.
    """
    show_one = _terminal() if sys.stdout.isatty() else _show_plain
    shown: list[Check] = []
    for check in checks:
        show_one(check, not shown or shown[-1].section != check.section)
        shown.append(check)
    return shown


def _show_plain(check: Check, is_first: bool) -> None:
    if is_first:
        print(f"{check.section}")
    for line in plain_lines(check):
        print(line, flush=True)


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


def _terminal():
    """Returns what shows a check on a terminal: a row of a table, as wide as that is."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return _show_plain
    console = Console(highlight=False, markup=False, emoji=False)

    def show_row(check: Check, is_first: bool) -> None:
        if is_first:
            console.print(Text(f"\n{check.section}", style="bold"))
        row = Table.grid(padding=(0, 1))
        row.add_column(width=_VERDICT_WIDTH)
        row.add_column(width=_NAME_WIDTH)
        row.add_column(ratio=1, overflow="fold")
        found = Text(check.found)
        if check.to_do:
            found.append(f"\n{check.to_do}", style="cyan")
        row.add_row(Text(check.verdict, style=_COLORS[check.verdict]), Text(check.name), found)
        console.print(row)

    return show_row
