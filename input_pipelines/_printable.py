"""Names of files as text that can be printed, whatever bytes they are made of."""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: Path | str) -> str:
    r"""Returns the name on one line, in valid Unicode.

    What is no UTF-8 and control characters (a line feed, a terminal's escape) become `\xe9`, `\n`,
    `\x1b`: a name can neither forge a line nor fail to be printed.
    """
    name = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() or each == "\N{NO-BREAK SPACE}" else _escaped(each)
        for each in name
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
