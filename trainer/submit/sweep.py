"""Sweeps: `--sweep learning_rate=0.1,0.01 --sweep seed=1..5` is ten runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from flowrate.errors import ConfigError, nearest_name

_MOST_RUNS = 1000


def combinations(sweeps: Sequence[str], known_flags: Sequence[str]) -> list[dict[str, str]]:
    """Returns a run for each combination of values: flag name to value; [{}] without sweeps.

    Raises:
        ConfigError: a sweep that cannot be read, an unknown flag, or too many runs.
    """
    swept = [_parse(sweep, known_flags) for sweep in sweeps]
    names = [name for name, _ in swept]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--sweep={repeated[0]}: given twice; give all its values at once.")
    found = [dict(zip(names, values)) for values in itertools.product(*(v for _, v in swept))]
    if len(found) > _MOST_RUNS:
        raise ConfigError(f"--sweep: {len(found)} runs; at most {_MOST_RUNS} at once.")
    return found


def folder_name(number: int, combination: dict[str, str]) -> str:
    """Returns the name of a run's folder: 007-learning_rate=0.1-seed=3."""
    values = "-".join(f"{name}={value}" for name, value in combination.items())
    return re.sub(r"[^\w.=+-]+", "_", f"{number:03d}-{values}")[:100]


def _parse(sweep: str, known_flags: Sequence[str]) -> tuple[str, list[str]]:
    name, equals, text = sweep.partition("=")
    name = name.removeprefix("--")
    if not equals or not text:
        raise ConfigError(f"--sweep={sweep}: give flag=value,value or flag=first..last.")
    if name not in known_flags:
        raise ConfigError(
            f"--sweep={sweep}: the trainer has no flag {name}.{nearest_name(name, known_flags)}"
        )
    if name == "run_dir":
        raise ConfigError("--sweep=run_dir: each run gets a folder of its own.")
    if numbers := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", text):
        first, last = map(int, numbers.groups())
        if not first <= last < first + _MOST_RUNS:
            raise ConfigError(f"--sweep={sweep}: the last must be {first} to {first + 999}.")
        return name, [str(number) for number in range(first, last + 1)]
    values = text.split(",")
    if "" in values or len(set(values)) < len(values):
        raise ConfigError(f"--sweep={sweep}: an empty value, or one given twice.")
    return name, values
