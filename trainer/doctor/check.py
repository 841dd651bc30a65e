"""One thing looked at: what was found, the verdict, and what to do. Python's own library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

OK, WARNING, FAILED, ABSENT = "ok", "warning", "failed", "absent"
VERDICTS = (OK, WARNING, FAILED, ABSENT)
# Gibibytes are what memory and disks are sold and limited in.
GIB = 2**30
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        section: the part of the table it stands in.
        name: what was looked at; unique within a section.
        verdict: ok; warning: training works, but something is to be known; failed: what must work
            does not; absent: not here, and nothing that training needs.
        found: one line.
        to_do: one line; empty where nothing is to be done.
        facts: the figures behind it, JSON-able.
    """

    section: str
    name: str
    verdict: str
    found: str
    to_do: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON-able dictionary."""
        return dataclasses.asdict(self)


def guarded(
    section: str, name: str, look: Callable[[], Check | Iterable[Check]]
) -> Iterator[Check]:
    """Yields what a check finds; one that breaks is a failed check, and the others go on.

    One that lacks a package is absent: that the package is missing is another check's finding.

    Args:
        section, name: of the check that stands in where it breaks.
        look: makes one check, or several.
    """
    try:
        found = look()
        yield from [found] if isinstance(found, Check) else found
    except ImportError as error:
        yield Check(
            section, name, ABSENT, f"not looked at: it needs {error.name}, which is not installed"
        )  # fmt: skip
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        yield Check(
            section, name, FAILED, f"could not be looked at: {type(error).__name__}: {reason}",
            "look at it by hand, and report this.",
        )  # fmt: skip


def in_gib(num_bytes: int) -> str:
    """Returns `1.5 GiB`, or `64 MiB` below one."""
    if num_bytes < GIB:
        return f"{num_bytes / MIB:,.0f} MiB"
    return f"{num_bytes / GIB:,.1f} GiB"


def one_line(error: Exception) -> str:
    """Returns an error's message on one line, without the full stop at its end."""
    return " ".join(str(error).split()).removesuffix(".")
