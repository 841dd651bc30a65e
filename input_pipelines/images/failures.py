"""Image files that cannot be used, each with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowrate.text import printable

_MAX_NAMES_IN_MESSAGE = 20


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


def failures_text(failures: Sequence[Failure]) -> str:
    """Returns one line that names the files, the first twenty of many."""
    return _error_line(list(map(str, failures)), "")


def error_text(problems: Mapping[Path, str], list_path: Path) -> str:
    """Returns the same of {path: reason}; of more than twenty, `list_path` then names all."""
    named = _named(problems)
    many = len(named) > _MAX_NAMES_IN_MESSAGE
    return _error_line(named, _listed(named, list_path) if many else "")


def skipped_text(problems: Mapping[Path, str], list_path: Path) -> str:
    """Returns one line about images that are left out; all are named in `list_path`."""
    named = _named(problems)
    noun = "image" if len(named) == 1 else "images"
    return f"skipped {len(named):,} {noun} that cannot be used{_listed(named, list_path)}."


def _named(problems: Mapping[Path, str]) -> list[str]:
    return [f"{printable(path)}: {reason}" for path, reason in problems.items()]


def _listed(named: Sequence[str], list_path: Path) -> str:
    """Writes the list; returns where it is, or nothing where it could not be written."""
    try:
        list_path.parent.mkdir(parents=True, exist_ok=True)
        list_path.write_text("\n".join(named) + "\n", encoding="utf-8")
    except OSError:
        return ""
    return f", all named in {printable(list_path)}"


def _error_line(named: Sequence[str], listed: str) -> str:
    more = len(named) - _MAX_NAMES_IN_MESSAGE
    rest = f"; and {more} more" if more > 0 else ""
    noun = "image" if len(named) == 1 else "images"
    return (
        f"{len(named)} {noun} cannot be used: {'; '.join(named[:_MAX_NAMES_IN_MESSAGE])}{rest}"
        f"{listed}. Repair or remove, and start again."
    )
