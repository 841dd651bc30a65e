"""Learning curves, of one run or of several, and what they say of over-fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flowrate.pages.drawing import FAINT, INK, SERIES_COLORS, Picture, new_figure
from trainer.report.run_record import RunRecord
from trainer.trained.learned import is_unconfirmed

_TRAIN_COLOR, _EVALUATION_COLOR = SERIES_COLORS[0], SERIES_COLORS[2]
# More points than this are averaged: no eye tells them apart.
_MAX_POINTS = 300
_WIDTH, _HEIGHT = 420, 260
# From here on a gap between training and validation is called one.
_GAP = 0.03
_RISE = 1.1


def learning_curves(record: RunRecord) -> list[Picture]:
    """Returns loss and accuracy over the epochs; empty where nothing was logged."""
    if not record.train_rows and not record.evaluations:
        return []
    return [_curve(record, "loss", "Loss"), _curve(record, "accuracy", "Accuracy")]


def overlaid_curves(records: Sequence[RunRecord], names: Sequence[str]) -> list[Picture]:
    """Returns the evaluations of several runs, one line for each."""

    def make(metric: str):
        def draw() -> Figure:
            figure, axes = _new_axes(metric)
            for number, (record, name) in enumerate(zip(records, names)):
                if record.evaluations:
                    xs, ys = _points(record.evaluations, metric)
                    color = SERIES_COLORS[number % len(SERIES_COLORS)]
                    style = ("-", "--", ":")[number // len(SERIES_COLORS) % 3]
                    axes.plot(xs, ys, style, color=color, marker=_marker(xs), ms=3, lw=1.5,
                              label=name)  # fmt: skip
            axes.legend(frameon=False, fontsize=8)
            _limit(axes, metric, [y for r in records for y in _points(r.evaluations, metric)[1]])
            return figure

        return draw

    return [
        Picture(
            name=f"runs-{metric}", title=f"{metric.capitalize()} of the evaluations", note="",
            description=f"{metric} over epochs of {', '.join(names)}", make=make(metric),
        )
        for metric in ("accuracy", "loss")
    ]  # fmt: skip


def describe_fit(record: RunRecord) -> str:
    """Returns what the curves say, in a sentence or two: over-fitting, or room to learn.

    Training figures are taken as they came, with dropout and augmentation, before each step's
    update: a run that fits well may be better in evaluation than in training.
    """
    evaluations, split = record.evaluations, record.split
    if not evaluations or not record.train_rows:
        return "Nothing was evaluated: the curves cannot be compared."
    last = evaluations[-1]
    train = _mean_before(record.train_rows, last)
    gap = train["accuracy"] - last["accuracy"]
    best = min(evaluations, key=lambda row: row["loss"])
    words = (
        f"At the end, training accuracy is {train['accuracy']:.2%} (mean of the last epoch) and "
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


def _curve(record: RunRecord, metric: str, title: str) -> Picture:
    split = record.split

    def draw() -> Figure:
        figure, axes = _new_axes(metric)
        values = []
        if record.train_rows:
            xs, ys = _averaged(record.train_rows, metric)
            axes.plot(xs, ys, color=_TRAIN_COLOR, lw=1.3, label="train")
            values += ys
        if record.evaluations:
            xs, ys = _points(record.evaluations, metric)
            axes.plot(xs, ys, color=_EVALUATION_COLOR, lw=1.5, marker=_marker(xs), ms=3.5,
                      label=split)  # fmt: skip
            best = int(np.argmin(ys) if metric == "loss" else np.argmax(ys))
            axes.plot(xs[best], ys[best], "o", ms=9, mfc="none", mec=INK, mew=1)
            axes.annotate(
                f"{ys[best]:.4g}", (xs[best], ys[best]), textcoords="offset points",
                xytext=(-7, 7), ha="right", fontsize=8,
            )  # fmt: skip
            values += ys
        axes.legend(frameon=False, loc="upper right" if metric == "loss" else "lower right")
        _limit(axes, metric, values)
        return figure

    return Picture(
        name=f"curve-{metric}", title=title,
        note=f"Training as it went, and {split} at each evaluation; the best one is ringed.",
        description=f"{metric} of training and {split} over epochs", make=draw,
    )  # fmt: skip


def _new_axes(metric: str) -> tuple[Figure, Axes]:
    figure = new_figure(_HEIGHT, _WIDTH)
    axes = figure.add_axes((0.13, 0.15, 0.85, 0.82))
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric)
    axes.grid(color=FAINT, lw=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    return figure, axes


def _limit(axes: Axes, metric: str, values: Sequence[float]) -> None:
    """Leaves the first steps' extremes out of the picture: they would flatten the rest."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if metric == "loss":
        high = min(high, max(3 * float(np.median(finite)), *finite[-1:]))
    else:
        low = max(low, min(1 - 2.5 * (1 - float(np.median(finite))), *finite[-1:]))
    margin = 0.08 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)


def _points(rows: Sequence[dict[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    return [row["epoch"] for row in rows], [row[metric] for row in rows]


def _averaged(rows: Sequence[dict[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    xs, ys = _points(rows, metric)
    parts = min(len(xs), _MAX_POINTS)
    return tuple(
        [float(np.mean(part)) for part in np.array_split(np.array(values, float), parts)]
        for values in (xs, ys)
    )


def _mean_before(rows: Sequence[dict[str, Any]], last: dict[str, Any]) -> dict[str, float]:
    """Returns the means of the training rows of the epoch that ends with an evaluation."""
    recent = [row for row in rows if last["epoch"] - 1 < row["epoch"] <= last["epoch"]]
    recent = recent or list(rows[-1:])
    return {name: float(np.mean([row[name] for row in recent])) for name in ("loss", "accuracy")}


def _marker(xs: Sequence[float]) -> str:
    return "o" if len(xs) <= 60 else ""
