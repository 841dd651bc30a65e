"""What the model answered: confusion matrix, examples with their probabilities, calibration."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowrate.drawing import FAINT, INK, SERIES_COLORS, Picture, new_figure
from trainer.scores import Calibration

RIGHT_COLOR, WRONG_COLOR = SERIES_COLORS[0], SERIES_COLORS[2]
RIGHT_SIGN, WRONG_SIGN = "\N{CHECK MARK}", "\N{BALLOT X}"
# A larger matrix has no room for numbers.
_MAX_NUMBERED = 20
_COLUMNS = 5
_CELL_WIDTH, _IMAGE_SIDE, _BAR, _NUM_BARS = 136, 104, 13, 3


def confusion_picture(confusion: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Draws int64 [C, C] counts, true class by predicted class."""
    count = len(class_names)
    numbered = count <= _MAX_NUMBERED
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    note = "Rows are true classes, columns what the model said. "
    note += "Each field: examples, and their share of the row. " if numbered else ""
    return Picture(
        name="confusion",
        title="Confusion matrix",
        note=note + "Right answers are blue, mistakes orange; the darker, the larger the share.",
        description=f"Confusion matrix of {count} classes, {int(np.trace(confusion))} of "
        f"{int(confusion.sum())} right",
        make=lambda: _draw_confusion(confusion, shares, class_names, numbered),
    )


def _draw_confusion(confusion, shares, class_names, numbered: bool) -> Figure:
    count = len(class_names)
    cell = 44 if numbered else max(2.0, 520 / count)
    side = cell * count
    names = [textwrap.shorten(name, 18, placeholder="…") for name in class_names]
    left = 12 + 5.2 * max(map(len, names)) if numbered else 30
    figure = new_figure(side + left + 20, side + left + 20)
    width, height = side + left + 20, side + left + 20
    axes = figure.add_axes((left / width, left / height, side / width, side / height))
    axes.imshow(_cell_colors(shares), interpolation="none", aspect="auto")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not numbered:
        return figure
    axes.set_xticks(range(count), names, rotation=0 if max(map(len, names)) < 8 else 90)
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color=FAINT, lw=0.5)
    for row, column in np.argwhere(confusion > 0):
        is_dark = shares[row, column] > (0.5 if row == column else 0.3)
        color = "white" if is_dark else "#1b1f25"
        options = {"ha": "center", "va": "center", "color": color}
        weight = "bold" if row == column else "normal"
        count = f"{confusion[row, column]:,}"
        axes.text(column, row - 0.12, count, fontsize=9, weight=weight, **options)
        axes.text(column, row + 0.24, f"{shares[row, column]:.1%}", fontsize=6.5, **options)
    return figure


def _cell_colors(shares: np.ndarray) -> np.ndarray:
    """Returns float [C, C, 4]: the diagonal in blues, mistakes in oranges that show early."""
    blues, oranges = (matplotlib.colormaps[name] for name in ("Blues", "Oranges"))
    colors = oranges(np.sqrt(shares) * 0.9)
    colors[shares == 0] = (0.965, 0.97, 0.975, 1)
    diagonal = np.arange(len(shares))
    colors[diagonal, diagonal] = blues(0.15 + 0.7 * np.diag(shares))
    return colors


def examples_picture(
    name: str,
    title: str,
    note: str,
    images: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    labels: np.ndarray | None = None,
) -> Picture:
    """Draws images with what the model said, right or wrong by colour and by sign.

    Args:
        images: uint8 [M, height, width, 1 or 3].
        probabilities: float32 [M, C].
        labels: int [M] true classes; None where they are not known.
    """
    return Picture(
        name=name, title=title, note=note,
        description="; ".join(
            _headline(probabilities[i], class_names, None if labels is None else labels[i])[0]
            for i in range(len(images))
        ),
        make=lambda: _draw_examples(images, probabilities, class_names, labels),
    )  # fmt: skip


def _draw_examples(images, probabilities, class_names, labels) -> Figure:
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    bars = min(_NUM_BARS, len(class_names))
    cell_height = _IMAGE_SIDE + 20 + bars * _BAR + 16
    width, height = columns * _CELL_WIDTH, rows * cell_height
    figure = new_figure(height, width)
    for number, image in enumerate(images):
        left = number % columns * _CELL_WIDTH
        top = number // columns * cell_height
        text, color = _headline(
            probabilities[number], class_names, None if labels is None else labels[number]
        )
        x = left + (_CELL_WIDTH - _IMAGE_SIDE) / 2
        axes = figure.add_axes(
            (x / width, 1 - (top + 20 + _IMAGE_SIDE) / height, _IMAGE_SIDE / width,
             _IMAGE_SIDE / height)
        )  # fmt: skip
        _show_image(axes, image, color)
        figure.text(
            (left + _CELL_WIDTH / 2) / width, 1 - (top + 12) / height, text, color=color,
            ha="center", va="center", fontsize=8.5, weight="bold",
        )  # fmt: skip
        axes = figure.add_axes(
            ((left + 8) / width, 1 - (top + 24 + _IMAGE_SIDE + bars * _BAR) / height,
             (_CELL_WIDTH - 16) / width, bars * _BAR / height)
        )  # fmt: skip
        _draw_bars(axes, probabilities[number], class_names, labels, number, bars)
    return figure


def _headline(probabilities, class_names, label) -> tuple[str, str]:
    predicted = int(probabilities.argmax())
    name = textwrap.shorten(class_names[predicted], 18, placeholder="…")
    if label is None:
        return f"{name} {probabilities[predicted]:.2%}", INK
    if predicted == label:
        return f"{RIGHT_SIGN} {name}", RIGHT_COLOR
    true = textwrap.shorten(class_names[label], 14, placeholder="…")
    return f"{WRONG_SIGN} {name}, is {true}", WRONG_COLOR


def _show_image(axes: Axes, image: np.ndarray, color: str) -> None:
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="none")
    else:
        axes.imshow(image[..., :3], interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT if color == INK else color, linewidth=1.5)


def _draw_bars(axes: Axes, probabilities, class_names, labels, number, bars: int) -> None:
    """Draws the most probable classes, the true one in blue, others in orange or grey."""
    top = np.argsort(-probabilities, kind="stable")[:bars]
    for place, index in enumerate(top):
        color = FAINT
        if labels is not None and index == labels[number]:
            color = RIGHT_COLOR
        elif place == 0:
            color = WRONG_COLOR if labels is not None else RIGHT_COLOR
        axes.barh(place, probabilities[index], color=color, height=0.78, alpha=0.55)
        name = textwrap.shorten(class_names[index], 15, placeholder="…")
        axes.text(0.01, place, name, va="center", fontsize=7)
        axes.text(1, place, f"{probabilities[index]:.1%}", va="center", ha="right", fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(bars - 0.5, -0.5)
    axes.axis("off")


def calibration_picture(calibration: Calibration) -> Picture:
    """Draws the reliability diagram."""
    return Picture(
        name="calibration",
        title="Calibration",
        note=f"Expected calibration error {calibration.expected_error:.4f}: how far confidence is "
        "from the share of right answers, on average (15 bins). A bar below the dashed line is "
        "over-confident. The small bars tell how many answers have that confidence.",
        description=f"Reliability diagram, expected calibration error "
        f"{calibration.expected_error:.4f}",
        make=lambda: _draw_calibration(calibration),
    )


def _draw_calibration(calibration: Calibration) -> Figure:
    figure = new_figure(300, 340, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = len(calibration.counts)
    centers, width = (np.arange(bins) + 0.5) / bins, 0.92 / bins
    filled = calibration.counts > 0
    upper.bar(centers[filled], calibration.accuracies[filled], width, color=RIGHT_COLOR, alpha=0.75)
    upper.plot(
        calibration.confidences[filled], calibration.accuracies[filled], ".", color=INK, ms=4
    )
    upper.plot([0, 1], [0, 1], "--", color=INK, lw=1)
    upper.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    lower.bar(centers, calibration.counts / calibration.counts.sum(), width, color=FAINT)
    lower.set(xlabel="confidence", ylabel="answers")
    lower.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    return figure
