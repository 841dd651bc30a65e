"""report.csv: one line per result, every label, metric and phase a column of its own."""

from __future__ import annotations

import csv
import io
from typing import Any

from benchmarks.report.tables import Report

_FIELDS = (
    "suite", "case", "contender", "repeat", "seed", "status", "error",
    "environment_id", "started_at", "wall_seconds",
)  # fmt: skip


def render_csv(report: Report) -> str:
    """Returns the results as CSV with a header line; numbers with all their digits.

    Columns: the fields of a result, then `labels.NAME`, `metrics.NAME`, `phases.NAME`,
    `verdict.NAME`, `health.NAME`, then the command. A field that a row does not have is empty.
    """
    lines = [_flat(row) for row in report.rows]
    columns = list(_FIELDS)
    for prefix in ("labels.", "metrics.", "phases.", "verdict.", "health."):
        columns += sorted({name for line in lines for name in line if name.startswith(prefix)})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*columns, "command"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    verdict, health = row["verdict"] or {}, row["health"]
    line = {name: row[name] for name in (*_FIELDS, "command")}
    for group in ("labels", "metrics", "phases"):
        line |= {f"{group}.{name}": value for name, value in row[group].items()}
    line |= {f"verdict.{name}": verdict.get(name) for name in ("bound", "flag", "text")}
    line["health.noisy"] = bool(health.get("noisy"))
    line["health.reasons"] = "; ".join(map(str, health.get("reasons") or []))
    line["health.load_average"] = health.get("load_average")
    return line
