"""Learning curves, of one run or of several, and what they say of over-fitting."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flowrate.pages.drawing import FAINT, INK, SERIES_COLORS, Picture, new_figure
from trainer.report.run_record import RunRecord
from trainer.trained.learned import is_unconfirmed

_METRICS = ("loss", "accuracy")
# More points than this are averaged: no eye tells them apart.
_MAX_POINTS = 300
_MAX_MARKED = 60
_WIDTH, _HEIGHT = 420, 260
# From here on a gap between training and validation is called one.
_GAP = 0.03
_RISE = 1.1


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of a chart: its label, its rows of metrics.jsonl, how it is drawn."""

    label: str
    rows: Sequence[dict[str, Any]]
    color: str
    style: str = "-"
    is_best_ringed: bool = False


def learning_curves(record: RunRecord) -> list[Picture]:
    """Returns loss and accuracy over the epochs; empty where nothing was logged."""
    lines = [
        _Line("train", _averaged(record.train_rows), SERIES_COLORS[0]),
        _Line(record.split, record.evaluations, SERIES_COLORS[2], is_best_ringed=True),
    ]
    if not record.train_rows and not record.evaluations:
        return []
    note = f"Training as it went, and {record.split} at each evaluation; the best one is ringed."
    return [
        _picture(f"curve-{metric}", metric.capitalize(), note, metric, lines) for metric in _METRICS
    ]


def overlaid_curves(records: Sequence[RunRecord], names: Sequence[str]) -> list[Picture]:
    """Returns the evaluations of several runs, one line for each."""
    count = len(SERIES_COLORS)
    lines = [
        _Line(name, record.evaluations, SERIES_COLORS[i % count], ("-", "--", ":")[i // count % 3])
        for i, (record, name) in enumerate(zip(records, names))
    ]
    return [
        _picture(f"runs-{metric}", f"{metric.capitalize()} of the evaluations", "", metric, lines)
        for metric in ("accuracy", "loss")
    ]


def describe_fit(record: RunRecord) -> str:
    """Returns what the curves say, in a sentence or two: over-fitting, or room to learn.

    Training figures are taken as they came, with dropout and augmentation, before each step's
    update: a run that fits well may be better in evaluation than in training.
    """
    evaluations, split = record.evaluations, record.split
    if not evaluations or not record.train_rows:
        return "Nothing was evaluated: the curves cannot be compared."
    last = evaluations[-1]
    recent = [row for row in record.train_rows if last["epoch"] - 1 < row["epoch"] <= last["epoch"]]
    recent = recent or record.train_rows[-1:]
    accuracy = float(np.mean([row["accuracy"] for row in recent]))
    gap = accuracy - last["accuracy"]
    best = min(evaluations, key=lambda row: row["loss"])
    words = (
        f"At the end, training accuracy is {accuracy:.2%} (mean of the last epoch) and "
        f"{split} accuracy {last['accuracy']:.2%}: a gap of {gap * 100:+.1f} points."
    )
    if (evaluated := record.result.get("train_accuracy_evaluated")) is not None:
        words += f" With the final weights, evaluation gives {evaluated:.2%} on training examples"
        if is_unconfirmed(record.result):
            return f"{words}, so that this is no over-fitting: see the warning above."
        words += ", which confirms it."
    if last["loss"] > _RISE * best["loss"]:
        return (
            f"{words} Over-fitting: {split} loss was lowest after epoch {best['epoch']:.3g} "
            f"({best['loss']:.3g}) and has risen to {last['loss']:.3g} since. Train for fewer "
            "epochs (--early_stopping_patience), augment (--augmentation=preset), or regularize "
            "(--weight_decay)."
        )
    if gap > _GAP:
        return (
            f"{words} The model fits the training examples better than others; more data, "
            "--augmentation=preset or --weight_decay close the gap."
        )
    if best is last and len(evaluations) > 1:
        return f"{words} {split.capitalize()} loss was still falling: more epochs may give more."
    return f"{words} No over-fitting to be seen."


def _picture(name: str, title: str, note: str, metric: str, lines: Sequence[_Line]) -> Picture:
    lines = [line for line in lines if line.rows]

    def draw() -> Figure:
        figure = new_figure(_HEIGHT, _WIDTH)
        axes = figure.add_axes((0.13, 0.15, 0.85, 0.82))
        axes.set(xlabel="epoch", ylabel=metric)
        axes.grid(color=FAINT, lw=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        for line in lines:
            xs = [row["epoch"] for row in line.rows]
            ys = [row[metric] for row in line.rows]
            marker = "o" if len(xs) <= _MAX_MARKED else ""
            axes.plot(xs, ys, line.style, color=line.color, marker=marker, ms=3, lw=1.5,
                      label=line.label)  # fmt: skip
            if line.is_best_ringed:
                best = int(np.argmin(ys) if metric == "loss" else np.argmax(ys))
                axes.plot(xs[best], ys[best], "o", ms=9, mfc="none", mec=INK, mew=1)
                axes.annotate(f"{ys[best]:.4g}", (xs[best], ys[best]), xytext=(-7, 7), fontsize=8,
                              textcoords="offset points", ha="right")  # fmt: skip
        if lines:
            axes.legend(frameon=False, loc="upper right" if metric == "loss" else "lower right")
            _limit(axes, metric, [row[metric] for line in lines for row in line.rows])
        return figure

    labels = ", ".join(line.label for line in lines)
    return Picture(name, title, note, f"{metric} over epochs of {labels}", draw)


def _limit(axes: Axes, metric: str, values: Sequence[float]) -> None:
    """Leaves the first steps' extremes out of the picture: they would flatten the rest."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    if metric == "loss":
        high = min(high, max(3 * middle, values[-1]))
    else:
        low = max(low, min(1 - 2.5 * (1 - middle), values[-1]))
    margin = 0.08 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)


def _averaged(rows: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Returns at most _MAX_POINTS rows, each the mean of rows that follow one another."""
    parts = np.array_split(np.arange(len(rows)), min(len(rows), _MAX_POINTS) or 1)
    return [
        {name: float(np.mean([rows[i][name] for i in part])) for name in ("epoch", *_METRICS)}
        for part in parts
        if len(part)
    ]
