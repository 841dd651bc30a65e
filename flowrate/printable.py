"""Names of files as they can be printed: one line each, whatever bytes they are made of."""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: str | Path) -> str:
    """Returns the name; line breaks, control characters and stray bytes as Python escapes them."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
