"""comparison.html: several runs in one table, their curves laid over each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrate.pages.page import page_environment
from trainer.report.curves import overlaid_curves
from trainer.report.page import command_of
from trainer.report.run_record import RunRecord

_TEMPLATE = "comparison.html.jinja"
_NOTHING = "\N{EN DASH}"


def render_comparison(records: Sequence[RunRecord]) -> str:
    """Returns the page: the best test accuracy first; every text of the records is escaped."""
    ordered = sorted(records, key=lambda record: -(record.result.get("test_accuracy") or 0.0))
    names = _names(ordered)
    datasets = sorted({record.trained.config.dataset for record in ordered})
    return page_environment(Path(__file__).parent).get_template(_TEMPLATE).render(
        names=names,
        rows=[_row(name, record) for name, record in zip(names, ordered)],
        outcome=_outcome(names[0], ordered[0], datasets),
        curves=overlaid_curves(ordered, names),
        commands=[(name, command_of(record)) for name, record in zip(names, ordered)],
    )  # fmt: skip


def _outcome(name: str, record: RunRecord, datasets: Sequence[str]) -> str:
    best = record.result.get("test_accuracy")
    if best is None:
        return "None of these runs has completed."
    if len(datasets) > 1:
        return f"Of different data sets ({', '.join(datasets)}): their accuracies do not compare."
    return f"{name} is best, with a test accuracy of {best:.2%}."


def _names(records: Sequence[RunRecord]) -> list[str]:
    """Returns the folders' names; with the folder above where that is not enough."""
    counts = Counter(record.name for record in records)
    return [
        record.name if counts[record.name] == 1 else "/".join(record.trained.path.parts[-2:])
        for record in records
    ]


def _row(name: str, record: RunRecord) -> dict[str, Any]:
    result, scores = record.result, record.scores

    def figure(value: float | None, form: str) -> str:
        return _NOTHING if value is None else format(value, form)

    seconds = result.get("seconds")
    return {
        "name": name,
        "status": result.get("status", "not ended"),
        "cells": [
            record.trained.config.dataset,
            record.trained.model,
            figure(result.get("num_parameters"), ",d"),
            figure(result.get("epochs"), ".4g"),
            figure(result.get("test_accuracy"), ".4f"),
            figure(result.get("test_loss"), ".4f"),
            figure(scores and scores.macro_f1, ".4f"),
            figure(scores and scores.calibration.expected_error, ".4f"),
            figure(result.get("train_accuracy"), ".4f"),
            figure(result.get("steps_per_second"), ",.1f"),
            figure(sum(seconds.values()) if seconds else None, ",.0f"),
        ],
    }
