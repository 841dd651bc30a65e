"""Image files that cannot be used, each with the reason."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from flowrate.printable import printable

_MAX_NAMES_IN_MESSAGE = 10
# Which operation of TensorFlow found it, on which device.
_WHERE = re.compile(r"\{\{.*?\}\}|\[Op:.*?\](\s*name:)?")


@dataclasses.dataclass(frozen=True)
class Failure:
    """A file that cannot be used.

    Attributes:
        index: of its example in the source.
        path: of the file.
        reason: in a few words.
    """

    index: int
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


def failure_reason(path: Path, message: str) -> str:
    """Returns in a few words why a file cannot be used, from what TensorFlow says of it."""
    if not os.access(path, os.R_OK):
        return "cannot be read (missing, or no permission)"
    if path.stat().st_size == 0:
        return "is empty"
    text = " ".join(_WHERE.sub(" ", message).split())
    if "Unknown image file format" in text or "Expected image" in text:
        return "is no JPEG, PNG, GIF or BMP"
    return f"damaged or cut short ({text[:80]})"


def failures_text(failures: Sequence[Failure]) -> str:
    """Returns one line that names the files, the first ten of many."""
    shown = "; ".join(map(str, failures[:_MAX_NAMES_IN_MESSAGE]))
    more = len(failures) - _MAX_NAMES_IN_MESSAGE
    rest = f"; and {more} more" if more > 0 else ""
    noun = "image" if len(failures) == 1 else "images"
    return (
        f"{len(failures)} {noun} cannot be used: {shown}{rest}. Repair or remove, and start again."
    )
