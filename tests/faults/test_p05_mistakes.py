"""P5: mistakes at the command line and in the environment, each a real process of its own.

Where a mistake can be seen without TensorFlow it must be: a package that ends the process stands in
TensorFlow's place.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from faults.tools import refusals
from faults.tools.places import make_places
from faults.tools.runs import environment

_TABLE = (Path(__file__).parent / "mistakes.txt").read_text(encoding="utf-8")
_GROUPS = dict(re.findall(r"^# (\w[\w ]*)\n((?:\d.*\n)+)", _TABLE, re.MULTILINE))
# What would make lines of the table too long.
_SHORT = {
    "{multi}": "trainer.main --strategy=multi_worker_mirrored --run_dir=run",
    "{two}": '"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}',
    "{zero}": '"task": {"type": "worker", "index": 0}',
}


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A line of the table: the command, and the answer that it must have."""

    line: str
    variables: dict[str, str]
    words: list[str]
    exit_code: int
    pieces: list[str]
    needs_tensorflow: bool


def _read(line: str, places: Mapping[str, str]) -> Mistake:
    def put_in(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: places[match[1]], text)

    for short, text in _SHORT.items():
        line = line.replace(short, text)
    command, _, answer = line.partition(" -> ")
    status, *words = (put_in(word) for word in shlex.split(command))
    variables = {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    pieces = [put_in(piece) for piece in answer.split(" ... ")]
    return Mistake(line, variables, words, int(status.rstrip("!")), pieces, "!" in status)


@pytest.mark.parametrize(
    "group",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "secrets")) for name in _GROUPS],
)
def test_mistakes_are_answered_in_a_line(group, tmp_path, record):
    root = tmp_path / "places"
    root.mkdir()
    poison = refusals.make_poison(tmp_path)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        places = {**make_places(root), "port": str(taken.getsockname()[1])}
        before = _contents(root)
        mistakes = [_read(line, places) for line in _GROUPS[group].splitlines()]
        # One after the other: two in one run directory would meet each other's lock.
        seconds = [
            _try(mistake, tmp_path / str(number), poison) for number, mistake in enumerate(mistakes)
        ]
    assert _contents(root) == before
    light = [spent for spent, mistake in zip(seconds, mistakes) if not mistake.needs_tensorflow]
    record(
        mistakes=len(mistakes),
        answered_without_tensorflow=len(light),
        answered_within_a_second=sum(spent <= 1 for spent in light),
        most_median_seconds=statistics.median(light),
    )


def _contents(folder: Path) -> dict[str, bytes | None]:
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
    variables = environment(
        HOME=str(home), XDG_CACHE_HOME=str(home), KERAS_HOME=str(folder / "keras"),
        FLOWRATE_OFFLINE="1", PYTHONDONTWRITEBYTECODE="1", **mistake.variables,
    )  # fmt: skip
    if not mistake.needs_tensorflow:
        variables["PYTHONPATH"] = f"{poison}:{variables['PYTHONPATH']}"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *mistake.words], cwd=work, env=variables, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    said = f"{mistake.line}: status {done.returncode}, {done.stderr!r}"
    assert done.returncode == mistake.exit_code, said
    line = done.stderr.removesuffix("\n")
    assert line.startswith("error: "), said
    assert line.isprintable(), said
    assert re.search(".*".join(map(re.escape, mistake.pieces)), line), said
    assert "hunter2" not in line, said
    assert mistake.needs_tensorflow or not done.stdout, f"{said}; printed {done.stdout!r}"
    left = [*_contents(work), *_contents(home)]
    assert not left, f"{mistake.line}: left behind {', '.join(left)}"
    return seconds
