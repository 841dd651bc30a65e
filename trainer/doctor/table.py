"""Prints checks as they are made, in lines of at most 80 columns. Python's own library only."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator

from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check

# SGR parameters: green, yellow, bold red, faint.
_COLORS = {OK: "32", WARNING: "33", FAILED: "1;31", ABSENT: "2"}
_COLUMNS = 80
_VERDICT_WIDTH, _NAME_WIDTH = 8, 18


def show(checks: Iterable[Check]) -> list[Check]:
    """Prints each check as it is made, with colours on a terminal; returns them all.

    Args:
        checks: in order of their sections.
    """
    is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown: list[Check] = []
    for check in checks:
        if not shown or shown[-1].section != check.section:
            print(check.section)
        text = "\n".join(lines_of(check))
        if is_colored:
            colored = f"\x1b[{_COLORS[check.verdict]}m{check.verdict}\x1b[0m"
            text = text.replace(check.verdict, colored, 1)
        print(text, flush=True)
        shown.append(check)
    return shown


def lines_of(check: Check) -> Iterator[str]:
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
        text, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
