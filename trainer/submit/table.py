"""The table of a job's runs: how far each is, and what came of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import rich.box
from rich.table import Table
from rich.text import Text

from flowrate.records import read_json, write_text
from flowrate.text import printable

# Of result.json, and what they are called on a terminal, which is narrow.
_RESULT_COLUMNS = {
    "status": "status", "global_step": "step", "test_accuracy": "accuracy", "test_loss": "loss",
    "steps_per_second": "steps/s",
}  # fmt: skip


def read_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row for each run of a job: what is its own, and its result so far."""
    rows = []
    for task in record["tasks"]:
        run_dir = Path(task["run_dir"])
        result = _read(run_dir / "result.json") or _progress(run_dir)
        rows.append(
            {
                "run": run_dir.name,
                **task["combination"],
                **{name: result.get(name) for name in _RESULT_COLUMNS},
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> Table:
    """Returns the rows for a terminal."""
    table = Table(box=rich.box.SIMPLE_HEAD)
    for name in rows[0]:
        words = name in ("run", "status")
        header = _RESULT_COLUMNS.get(name, name)
        table.add_column(header, justify="left" if words else "right", overflow="fold")
    for row in rows:
        # Of a sweep, the number says which: its values have columns of their own.
        run, *values = row.values()
        name = run.partition("-")[0] if len(rows) > 1 else run
        # Text: a name may look like rich's markup.
        table.add_row(*(Text(printable(_text(value))) for value in (name, *values)))
    return table


def write_csv(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes sweep.csv, whole or not at all: several runs may end at once."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    path = folder / "sweep.csv"
    write_text(path, text.getvalue())
    return path


def _progress(run_dir: Path) -> dict[str, Any]:
    """Returns what the workers of a run that is not over say of themselves."""
    status = _read(run_dir / "status" / "worker-0.json")
    if status:
        return {"status": status.get("phase"), "global_step": status.get("step")}
    return {"status": "begun" if (run_dir / "config.json").exists() else "waiting"}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _no_formula(value: Any) -> Any:
    """Returns the value; of a text that a spreadsheet would compute, one that it would not."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+@\t\r") else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
