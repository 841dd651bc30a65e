"""Names of files, and messages, as they can be printed: one line each, whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

from flowrate.secrets import masked


def printable(path: str | Path) -> str:
    """Returns the name; line breaks, control characters and stray bytes as Python escapes them."""
    return masked(_escaped(os.fsencode(path).decode(errors="backslashreplace")))


def one_line(message: object) -> str:
    """Returns a message as one line without control characters, which a terminal would obey.

    What a user gave stands in it, secrets masked.
    """
    text = " ".join(str(message).splitlines())
    return masked(_escaped(text.encode(errors="backslashreplace").decode()))


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
