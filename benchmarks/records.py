"""Reads a results folder: the rows that count, and what is measured of them.

A folder holds `records.jsonl`, one JSON object a line, of two kinds: `environment` and `result`.
A row is checked when it is read, so that what follows may rely on every field being there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowrate.errors import ConfigError, DataError
from flowrate.records import read_json_lines

SCHEMA_VERSION = 1
RECORDS_NAME = "records.jsonl"
# The one figure a case of the suite is judged by.
PRIMARY_METRIC = {
    "tutorials": "steps_per_second",
    "throughput": "steps_per_second",
    "scaling": "steps_per_second",
    "exchange": "steps_per_second",
    "input": "images_per_second",
    "accuracy": "seconds_to_target",
    "startup": "first_step_seconds",
    "equality": "agreeing_decimals",
    "collectives": "bus_gigabytes_per_second",
}
STATUSES = ("ok", "failed", "out_of_memory", "skipped")

_NUMBER = (int, float)
_NULL = type(None)
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "environment": {
        "environment_id": (str,),
        "hostname": (str,),
        "platform": (str,),
        "python": (str,),
        "cpu": (dict,),
        "memory_bytes": _NUMBER,
        "versions": (dict,),
        "commit": (str, _NULL),
        "devices": (list,),
        "command": (str,),
        "started_at": (str,),
    },
    "result": {
        "environment_id": (str,),
        "suite": (str,),
        "case": (str,),
        "contender": (str,),
        "repeat": (int,),
        "seed": (int,),
        "status": (str,),
        "error": (str, _NULL),
        "labels": (dict,),
        "command": (str,),
        "started_at": (str,),
        "wall_seconds": _NUMBER,
        "metrics": (dict,),
        "samples": (dict,),
        "phases": (dict,),
        "verdict": (dict, _NULL),
        "health": (dict,),
    },
}

GroupKey = tuple[str, str, str]


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """Returns the result rows that count: of a repeat that was run twice, the later one.

    Raises:
        ConfigError: the folder is missing, cannot be read or holds no records.
        DataError: a row is not as `check_row` wants it.
    """
    return _latest(row for row in _read_rows(Path(folder)) if row["kind"] == "result")


def read_environments(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Returns the environment rows by their `environment_id`; raises as `read_results` does."""
    rows = _read_rows(Path(folder))
    return {row["environment_id"]: row for row in rows if row["kind"] == "environment"}


def group_repeats(rows: Iterable[dict[str, Any]]) -> dict[GroupKey, list[dict[str, Any]]]:
    """Returns the rows by (suite, case, contender), each list ordered by its number of repeat.

    The groups keep the order in which they first appear. A repeat's later row counts.
    """
    groups: dict[GroupKey, list[dict[str, Any]]] = {}
    for row in _latest(rows):
        groups.setdefault((row["suite"], row["case"], row["contender"]), []).append(row)
    return {key: sorted(group, key=lambda row: row["repeat"]) for key, group in groups.items()}


def is_lower_better(name: str) -> bool:
    """Tells by a metric's unit whether less of it is better: times and sizes, not rates."""
    # The unit ends the name, but for seconds_to_target.
    return name.startswith("seconds_") or name.endswith(("_seconds", "_ms", "_bytes"))


def check_row(row: Any) -> None:
    """Checks the fields of a row and their types.

    Raises:
        DataError: it is of another schema version, or lacks a field or has one of another type;
            the message names the field.
    """
    if not isinstance(row, dict):
        raise DataError(f"a row of {RECORDS_NAME} is {row!r}; it should be a JSON object.")
    _check_choice(row, "kind", tuple(_FIELDS))
    _check_choice(row, "schema_version", (SCHEMA_VERSION,))
    for name, types in _FIELDS[row["kind"]].items():
        _check_type(row, name, types)
    if row["kind"] == "result":
        _check_result(row)


def _check_result(row: dict[str, Any]) -> None:
    _check_choice(row, "suite", tuple(PRIMARY_METRIC))
    _check_choice(row, "status", STATUSES)
    if row["status"] != "ok" and not row["error"]:
        raise _wrong(row, "error", "says nothing, with a status other than ok")
    for name, value in row["metrics"].items():
        if not _has_type(value, _NUMBER) or not math.isfinite(value):
            raise _wrong(row, f"metrics.{name}", f"is {value!r}, not a finite number")
    primary = PRIMARY_METRIC[row["suite"]]
    # Comparisons are of ratios.
    if row["status"] == "ok" and row["metrics"].get(primary, 1) <= 0:
        raise _wrong(row, f"metrics.{primary}", f"is {row['metrics'][primary]}, not positive")


def _check_choice(row: dict[str, Any], name: str, allowed: tuple[Any, ...]) -> None:
    if name not in row:
        raise _wrong(row, name, "is missing")
    if not any(type(row[name]) is type(choice) and row[name] == choice for choice in allowed):
        choices = ", ".join(map(str, allowed))
        raise _wrong(row, name, f"is {row[name]!r}; this program reads {choices}")


def _check_type(row: dict[str, Any], name: str, types: tuple[type, ...]) -> None:
    if name not in row:
        raise _wrong(row, name, "is missing")
    if not _has_type(row[name], types):
        expected = " or ".join("null" if kind is _NULL else kind.__name__ for kind in types)
        raise _wrong(row, name, f"is {row[name]!r}; it should be {expected}")


def _has_type(value: Any, types: tuple[type, ...]) -> bool:
    # Python counts a bool as an int; the records do not.
    return isinstance(value, types) and not isinstance(value, bool)


def _wrong(row: dict[str, Any], name: str, what: str) -> DataError:
    words = (row.get("suite"), row.get("case"), row.get("contender"))
    place = " ".join(str(word) for word in words if word is not None)
    return DataError(f"a row of {RECORDS_NAME}{f' ({place})' if place else ''}: {name} {what}.")


def _latest(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("suite", "case", "contender", "repeat")
    return list({tuple(row[name] for name in names): row for row in rows}.values())


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    advice = "Give a folder that `python -m benchmarks.main run --output=DIR` wrote."
    path = folder / RECORDS_NAME
    try:
        if not path.is_file():
            what = f"has no {RECORDS_NAME}" if folder.is_dir() else "is not a folder"
            raise ConfigError(f"{folder} {what}. {advice}")
        rows = read_json_lines(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}. {advice}") from error
    if not rows:
        raise ConfigError(f"{path} holds no rows. {advice}")
    for number, row in enumerate(rows, start=1):
        try:
            check_row(row)
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error}") from None
    return rows
