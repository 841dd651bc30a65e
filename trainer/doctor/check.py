"""The result of one check, and how checks are run. Python's own library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

OK, WARNING, FAILED, ABSENT = "ok", "warning", "failed", "absent"
VERDICTS = (OK, WARNING, FAILED, ABSENT)
# Gibibytes are what memory and disks are sold and limited in.
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        verdict: ok; warning: training works, but something should be known; failed: what must work
            does not; absent: not here, and training works without it.
        found: one line.
        to_do: one line; empty where nothing is to be done.
        facts: the figures behind it, JSON-able.
        section, name: its place in the table; `run_check` sets them.
    """

    verdict: str
    found: str
    to_do: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    section: str = ""
    name: str = ""


# Of a check function: one check, or several by name.
Found = Check | Iterable[tuple[str, Check]]


def run_check(section: str, name: str, look: Callable[[], Found]) -> Iterator[Check]:
    """Yields what a check function finds; where it breaks, a failed check, and the others go on.

    A function that lacks a package gives an absent check: another check reports the package.
    """
    try:
        found = look()
        for its_name, check in [(name, found)] if isinstance(found, Check) else found:
            yield dataclasses.replace(check, section=section, name=its_name)
    except ImportError as error:
        reason = f"not checked: it needs {error.name}, which is not installed"
        yield Check(ABSENT, reason, section=section, name=name)
    except Exception as error:
        reason = f"could not be checked: {type(error).__name__}: {one_line(error)[:200]}"
        yield Check(FAILED, reason, "check it by hand, and report this.", {}, section, name)


def in_gib(num_bytes: int) -> str:
    """Returns `1.5 GiB`, or `64 MiB` below one."""
    if num_bytes < GIB:
        return f"{num_bytes / 2**20:,.0f} MiB"
    return f"{num_bytes / GIB:,.1f} GiB"


def one_line(error: Exception) -> str:
    """Returns an error's message on one line, without the full stop at its end."""
    return " ".join(str(error).split()).removesuffix(".")
