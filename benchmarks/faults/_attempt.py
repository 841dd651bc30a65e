"""An attempt at breaking a promise, and what came of it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


class Broken(Exception):  # noqa: N818 (what was found of a promise)
    """The promise did not hold; says what was promised and what was seen."""


class NotHere(Exception):  # noqa: N818 (what was found of the machine)
    """The fault cannot be caused on this machine; says what is missing."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt.

    Attributes:
        name: what is done; no other attempt at the same promise has it.
        run: causes the fault and checks what follows. Takes an empty folder; returns figures by
            name; raises Broken where the promise does not hold, NotHere where it cannot be tried.
        is_quick: takes seconds, so that it belongs to the default tests.
    """

    name: str
    run: Callable[[Path], dict[str, float]]
    is_quick: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of an attempt: `kept`, `broken` or `not here`, the reason, and the figures."""

    name: str
    status: str
    reason: str
    figures: dict[str, float]
    seconds: float


def check(condition: object, message: str) -> None:
    """Raises Broken with the message unless the condition is true."""
    if not condition:
        raise Broken(message)


def make(attempt: Attempt) -> Outcome:
    """Makes an attempt in a folder of its own, which is removed."""
    started = time.perf_counter()
    status, reason, figures = "kept", "", {}
    with tempfile.TemporaryDirectory(prefix="flowrate-fault-", ignore_cleanup_errors=True) as path:
        try:
            figures = attempt.run(Path(path))
        except Broken as error:
            status, reason = "broken", str(error)
        except NotHere as error:
            status, reason = "not here", str(error)
        except Exception as error:  # Whatever goes wrong, the promise was not seen to hold.
            status, reason = "broken", f"{type(error).__name__}: {error}"
    return Outcome(attempt.name, status, reason, figures, time.perf_counter() - started)


def make_all(attempts: Sequence[Attempt], tell: Callable[[str], None]) -> list[Outcome]:
    """Makes attempts one after the other; tells of each in a line as it ends."""
    outcomes = []
    for number, attempt in enumerate(attempts, start=1):
        outcome = make(attempt)
        outcomes.append(outcome)
        shown = outcome.reason or in_words(outcome.figures)
        tell(
            f"  {number}/{len(attempts)} {outcome.status}: {outcome.name}: {shown}, "
            f"{outcome.seconds:.1f} s"
        )
    return outcomes


def in_words(figures: dict[str, float]) -> str:
    """Returns figures as a line has them."""
    return ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())


def together(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Returns the figures of all: sums, and the largest of what is a time, a size or a `most_`."""
    found: dict[str, float] = {}
    for outcome in outcomes:
        for name, value in outcome.figures.items():
            before = found.get(name)
            found[name] = value if before is None else _both(name, before, value)
    return found


def _both(name: str, before: float, value: float) -> float:
    if name.startswith("least_"):
        return min(before, value)
    if name.startswith("most_") or name.endswith(("_seconds", "_mebibytes", "_share")):
        return max(before, value)
    return before + value
