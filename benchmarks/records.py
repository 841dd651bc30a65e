"""Reads a results folder: the rows that count, checked, so that every field is there.

A folder holds `records.jsonl`, one JSON object a line, of two kinds: `environment` and `result`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure.metrics import Metric
from benchmarks.suites import SUITES
from flowrate.errors import ConfigError, DataError
from flowrate.records import read_json_lines

SCHEMA_VERSION = 1
RECORDS_NAME = "records.jsonl"
STATUSES = ("ok", "failed", "out_of_memory", "skipped")

_NUMBER = (int, float)
_NULL = type(None)
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "environment": {
        "environment_id": (str,), "hostname": (str,), "platform": (str,), "python": (str,),
        "cpu": (dict,), "memory_bytes": _NUMBER, "versions": (dict,), "commit": (str, _NULL),
        "devices": (list,), "command": (str,), "started_at": (str,),
    },
    "result": {
        "environment_id": (str,), "suite": (str,), "case": (str,), "contender": (str,),
        "repeat": (int,), "seed": (int,), "status": (str,), "error": (str, _NULL),
        "labels": (dict,), "command": (str,), "started_at": (str,), "wall_seconds": _NUMBER,
        "metrics": (dict,), "samples": (dict,), "phases": (dict,), "verdict": (dict, _NULL),
        "health": (dict,),
    },
}  # fmt: skip

Row = dict[str, Any]
GroupKey = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Records:
    """A results folder.

    Attributes:
        rows: the results that count: of a repeat that was run twice, the later one.
        environments: by `environment_id`.
        commands: by `environment_id`, what was typed there, each once.
        num_replaced: results that a later one of the same repeat replaced.
        left_out: suites that this version does not have, by the number of their results.
    """

    rows: list[Row]
    environments: dict[str, Row]
    commands: dict[str, list[str]]
    num_replaced: int
    left_out: dict[str, int]


def read_records(folder: str | Path) -> Records:
    """Reads a results folder.

    Raises:
        ConfigError: the folder is missing, cannot be read or holds no records.
        DataError: a row is not as `check_row` wants it.
    """
    lines = _read_lines(Path(folder))
    environments = [line for line in lines if line["kind"] == "environment"]
    results = [line for line in lines if line["kind"] == "result"]
    known = [row for row in results if row["suite"] in SUITES.names()]
    commands: dict[str, dict[str, None]] = {}
    for line in environments:
        # A run that was taken up again stands there twice, with the same or another command.
        commands.setdefault(line["environment_id"], {})[line["command"]] = None
    suites = [row["suite"] for row in results]
    rows = _latest(known)
    return Records(
        rows=rows,
        environments={line["environment_id"]: line for line in environments},
        commands={name: list(each) for name, each in commands.items()},
        num_replaced=len(known) - len(rows),
        left_out={suite: suites.count(suite) for suite in dict.fromkeys(suites)
                  if suite not in SUITES.names()},
    )  # fmt: skip


def read_results(folder: str | Path) -> list[Row]:
    """Returns the result rows that count; raises as `read_records` does."""
    return read_records(folder).rows


def group_repeats(rows: Iterable[Row]) -> dict[GroupKey, list[Row]]:
    """Returns the rows by (suite, case, contender), each list ordered by its number of repeat.

    The groups keep the order in which they first appear. A repeat's later row counts.
    """
    groups: dict[GroupKey, list[Row]] = {}
    for row in _latest(rows):
        groups.setdefault((row["suite"], row["case"], row["contender"]), []).append(row)
    return {key: sorted(group, key=lambda row: row["repeat"]) for key, group in groups.items()}


@functools.cache
def primary_metric(suite: str) -> Metric:
    """Returns the figure that the suite's cases are judged by."""
    return SUITES.load(suite)[0].METRIC


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


def _check_result(row: Row) -> None:
    _check_choice(row, "status", STATUSES)
    if row["status"] != "ok" and not row["error"]:
        raise _wrong(row, "error", "says nothing, with a status other than ok")
    for name, value in row["metrics"].items():
        if not _has_type(value, _NUMBER) or not math.isfinite(value):
            raise _wrong(row, f"metrics.{name}", f"is {value!r}, not a finite number")
    if row["status"] == "ok" and row["suite"] in SUITES.names():
        name = primary_metric(row["suite"]).name
        # Comparisons are of ratios.
        if row["metrics"].get(name, 1) <= 0:
            raise _wrong(row, f"metrics.{name}", f"is {row['metrics'][name]}, not positive")


def _check_choice(row: Row, name: str, allowed: tuple[Any, ...]) -> None:
    if name not in row:
        raise _wrong(row, name, "is missing")
    if not any(type(row[name]) is type(choice) and row[name] == choice for choice in allowed):
        choices = ", ".join(map(str, allowed))
        raise _wrong(row, name, f"is {row[name]!r}; this program reads {choices}")


def _check_type(row: Row, name: str, types: tuple[type, ...]) -> None:
    if name not in row:
        raise _wrong(row, name, "is missing")
    if not _has_type(row[name], types):
        expected = " or ".join("null" if kind is _NULL else kind.__name__ for kind in types)
        raise _wrong(row, name, f"is {row[name]!r}; it should be {expected}")


def _has_type(value: Any, types: tuple[type, ...]) -> bool:
    # Python counts a bool as an int; the records do not.
    return isinstance(value, types) and not isinstance(value, bool)


def _wrong(row: Row, name: str, what: str) -> DataError:
    words = (row.get("suite"), row.get("case"), row.get("contender"))
    place = " ".join(str(word) for word in words if word is not None)
    return DataError(f"a row of {RECORDS_NAME}{f' ({place})' if place else ''}: {name} {what}.")


def _latest(rows: Iterable[Row]) -> list[Row]:
    names = ("suite", "case", "contender", "repeat")
    return list({tuple(row[name] for name in names): row for row in rows}.values())


def _read_lines(folder: Path) -> list[Row]:
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
