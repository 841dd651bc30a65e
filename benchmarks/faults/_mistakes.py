"""Tables of mistakes: command lines as they are typed, and below each what it must answer.

    # title of a group
    $ NAME=VALUE module --flag=value word
    2 what stands on the one line of standard error ... and further on

A command line is read as a shell reads it; {places} are put in, here and in the answer. Before the
answer stands the exit status. A `%` in place of the `$` says that only TensorFlow can tell.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.faults._attempt import check

ROOT = Path(__file__).resolve().parents[2]
TABLES = Path(__file__).parent / "mistakes"
IMPORTED_TENSORFLOW = 99
_LONGEST_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A command line and what it must answer.

    Attributes:
        line: the command line as it stands in the table.
        environment: variables set for it.
        words: the module, and what it is given.
        exit_code: as it must be.
        answer: pieces of the line on standard error, in order.
        needs_tensorflow: whether TensorFlow may be imported before the answer.
    """

    line: str
    environment: dict[str, str]
    words: list[str]
    exit_code: int
    answer: list[str]
    needs_tensorflow: bool


def titles(table: str) -> list[str]:
    """Returns the titles of the groups in a table."""
    return re.findall(r"^# (.+)$", _text(table), re.MULTILINE)


def read_group(table: str, title: str, places: Mapping[str, str]) -> list[Mistake]:
    """Returns the mistakes below a title, `places` put in."""
    _, _, rest = _text(table).partition(f"# {title}\n")
    lines = [line for line in rest.split("\n# ")[0].splitlines() if line]
    return [_read(line, answer, places) for line, answer in zip(lines[::2], lines[1::2])]


def try_all(mistakes: Sequence[Mistake], folder: Path, watched: Sequence[Path]) -> dict[str, float]:
    """Makes the mistakes, each in an empty folder.

    Args:
        mistakes: what to try.
        folder: empty.
        watched: folders in which nothing may change either.

    Returns:
        How many there were, how many were answered without TensorFlow and within a second, and the
        median time.

    Raises:
        Broken: one was not answered as it must be, or something was left behind.
    """
    poison = folder / "poison"
    (poison / "tensorflow").mkdir(parents=True)
    ending = f"import os\nos._exit({IMPORTED_TENSORFLOW})\n"
    (poison / "tensorflow" / "__init__.py").write_text(ending)
    before = {path: contents(path) for path in watched}
    # One after the other: two in one run directory would meet each other's lock.
    seconds = [
        _try(mistake, folder / str(number), poison) for number, mistake in enumerate(mistakes)
    ]
    for path in watched:
        check(contents(path) == before[path], f"something changed in {path}")
    light = [spent for spent, mistake in zip(seconds, mistakes) if not mistake.needs_tensorflow]
    return {
        "mistakes": len(mistakes),
        "answered_without_tensorflow": len(light),
        "answered_within_a_second": sum(spent <= 1 for spent in light),
        "most_median_seconds": statistics.median(light or seconds),
    }


def contents(folder: Path) -> dict[str, bytes | None]:
    """Returns every name below a folder; of files what they hold, of a lock only that it is."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and path.name != "lock"
        else None
        for path in folder.rglob("*")
    }


def _try(mistake: Mistake, folder: Path, poison: Path) -> float:
    """Returns the seconds until the answer."""
    work, home = folder / "work", folder / "home"
    work.mkdir(parents=True)
    home.mkdir()
    path = [str(ROOT)] if mistake.needs_tensorflow else [str(poison), str(ROOT)]
    environment = {
        **os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "FLOWRATE_OFFLINE": "1",
        "KERAS_HOME": str(folder / "keras"), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(path), **mistake.environment,
    }  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *mistake.words], cwd=work, env=environment, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_SECONDS,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    _check_answer(mistake, done)
    left = [*contents(work), *contents(home)]
    check(not left, f"{mistake.line}: left behind {', '.join(left)}")
    return seconds


def _check_answer(mistake: Mistake, done: subprocess.CompletedProcess[str]) -> None:
    said = f"{mistake.line}: status {done.returncode}, {done.stderr!r}"
    check(done.returncode == mistake.exit_code, f"{said}; promised status {mistake.exit_code}")
    line = done.stderr.removesuffix("\n")
    check(line.startswith("error: ") and line.isprintable(), f"{said}; promised one line of error")
    pattern = ".*".join(map(re.escape, mistake.answer))
    check(re.search(pattern, line), f"{said}; promised {' ... '.join(mistake.answer)}")
    check(mistake.needs_tensorflow or not done.stdout, f"{said}; printed {done.stdout!r}")


def _read(line: str, answer: str, places: Mapping[str, str]) -> Mistake:
    def put_in(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: str(places[match[1]]), text)

    words = [put_in(word) for word in shlex.split(line[2:])]
    environment = {}
    while "=" in words[0]:
        name, _, environment[name] = words.pop(0).partition("=")
    exit_code, _, answer = answer.partition(" ")
    pieces = [put_in(piece) for piece in re.split(r" ?\.\.\. ?", answer)]
    return Mistake(line[2:], environment, words, int(exit_code), pieces, line[0] == "%")


def _text(table: str) -> str:
    return (TABLES / f"{table}.txt").read_text(encoding="utf-8")
