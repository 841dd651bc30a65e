"""What the model answered: confusion matrix, examples with their probabilities, calibration."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from flowrate.pages.drawing import FAINT, INK, RIGHT, WRONG, Picture, new_figure
from trainer.trained.scores import Calibration

RIGHT_SIGN, WRONG_SIGN = "\N{CHECK MARK}", "\N{BALLOT X}"
# A larger matrix has no room for numbers.
_MAX_NUMBERED = 20
_COLUMNS = 5
_CELL_WIDTH, _IMAGE_SIDE, _BAR, _NUM_BARS = 136, 104, 13, 3
_CAPTION = 10


def confusion_picture(confusion: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Draws int64 [C, C] counts, true class by predicted class."""
    count = len(class_names)
    note = "Rows are true classes, columns what the model said. "
    if count <= _MAX_NUMBERED:
        note += "Each field: examples, and their share of the row. "
    return Picture(
        name="confusion",
        title="Confusion matrix",
        note=note + "Right answers are blue, mistakes orange; the darker, the larger the share.",
        description=f"Confusion matrix of {count} classes, {int(np.trace(confusion))} of "
        f"{int(confusion.sum())} right",
        make=functools.partial(_draw_confusion, confusion, class_names),
    )


def _draw_confusion(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    count = len(class_names)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    numbered = count <= _MAX_NUMBERED
    cell = min(64.0, max(38.0, 360 / count)) if numbered else max(2.0, 520 / count)
    side = cell * count
    names = [_cut(name, 18) for name in class_names]
    longest = max(map(len, names))
    left = 34 + 5.2 * longest if numbered else 34
    whole = side + left + 6
    figure = new_figure(whole, whole)
    axes = figure.add_axes((left / whole, left / whole, side / whole, side / whole))
    # The diagonal in blues, mistakes in oranges that show early.
    colors = matplotlib.colormaps["Oranges"](np.sqrt(shares) * 0.9)
    diagonal = np.arange(count)
    colors[diagonal, diagonal] = matplotlib.colormaps["Blues"](0.15 + 0.7 * np.diag(shares))
    colors[shares == 0] = 0  # Transparent.
    axes.imshow(colors, interpolation="none", aspect="auto")
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    if not numbered:
        return figure
    axes.set_xticks(range(count), names, rotation=0 if longest < 8 else 90)
    axes.set_yticks(range(count), names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(count - 1) + 0.5, minor=True)
    axes.tick_params(which="both", length=0)
    axes.grid(which="minor", color=FAINT, lw=0.5)
    for row, column in np.argwhere(confusion > 0):
        is_dark = shares[row, column] > (0.5 if row == column else 0.3)
        ink = "white" if is_dark else "#1b1f25"
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
        weight = "bold" if row == column else "normal"
        text = f"{confusion[row, column]:,}"
        axes.text(column, row - 0.12, text, fontsize=9, weight=weight, **style)
        axes.text(column, row + 0.24, f"{shares[row, column]:.1%}", fontsize=6.5, **style)
    return figure


def examples_picture(
    name: str,
    title: str,
    note: str,
    images: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    labels: np.ndarray | None = None,
    captions: Sequence[str] = (),
) -> Picture:
    """Draws images with what the model said, right or wrong by colour and by sign.

    Args:
        images: uint8 [M, height, width, 1 or 3].
        probabilities: float32 [M, C].
        labels: int [M] true classes; None where they are not known.
        captions: what each image is, such as its file's name; or none.
    """
    known = [None] * len(images) if labels is None else labels
    heads = [_headline(row, class_names, label) for row, label in zip(probabilities, known)]
    make = functools.partial(
        _draw_examples, images, probabilities, class_names, known, captions, heads
    )
    return Picture(name, title, note, "; ".join(text for text, _ in heads), make)


def _draw_examples(images, probabilities, class_names, labels, captions, heads) -> Figure:
    columns = min(_COLUMNS, len(images))
    bars = min(_NUM_BARS, len(class_names))
    above = 20 + (_CAPTION if captions else 0)
    cell_height = _IMAGE_SIDE + above + bars * _BAR + 16
    width, height = columns * _CELL_WIDTH, -(-len(images) // columns) * cell_height
    figure = new_figure(height, width)
    # All in one: axes of their own for each image and its bars take most of a second.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for number, (image, label, (text, color)) in enumerate(zip(images, labels, heads)):
        left, top = number % columns * _CELL_WIDTH, number // columns * cell_height
        middle = left + _CELL_WIDTH / 2
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        axes.text(middle, top + 12, text, color=color, fontsize=8.5, weight="bold", **style)
        if captions:
            caption = _cut(captions[number], 30)
            axes.text(middle, top + 13 + _CAPTION, caption, fontsize=6.5, **style)
        _show_image(axes, image, middle - _IMAGE_SIDE / 2, top + above, color)
        first_bar = top + above + _IMAGE_SIDE + 4
        _draw_bars(axes, probabilities[number], class_names, label, bars, left + 8, first_bar)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def _headline(probabilities, class_names, label: int | None) -> tuple[str, str]:
    """Returns what stands above an image, and its colour."""
    predicted = int(probabilities.argmax())
    name = _cut(class_names[predicted], 18)
    if label is None:
        return f"{name} {probabilities[predicted]:.2%}", INK
    if predicted == label:
        return f"{RIGHT_SIGN} {name}", RIGHT
    return f"{WRONG_SIGN} {name}, is {_cut(class_names[label], 14)}", WRONG


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _show_image(axes: Axes, image: np.ndarray, left: float, top: float, color: str) -> None:
    place = (left, left + _IMAGE_SIDE, top + _IMAGE_SIDE, top)
    shown = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
    axes.imshow(shown, interpolation="none", aspect="auto", extent=place)
    frame = FAINT if color == INK else color
    axes.add_patch(
        Rectangle((left, top), _IMAGE_SIDE, _IMAGE_SIDE, fill=False, ec=frame, lw=1.5, zorder=2)
    )


def _draw_bars(
    axes: Axes, probabilities, class_names, label, bars: int, left: float, top: float
) -> None:
    """Draws the most probable classes, the true one in blue, others in orange or grey."""
    width = _CELL_WIDTH - 16
    for rank, index in enumerate(np.argsort(-probabilities, kind="stable")[:bars]):
        is_first_guess = rank == 0 and index != label
        color = RIGHT if index == label or (is_first_guess and label is None) else FAINT
        color = WRONG if is_first_guess and label is not None else color
        y = top + rank * _BAR
        bar, height = width * probabilities[index], 0.78 * _BAR
        axes.add_patch(
            Rectangle((left, y + 0.1 * _BAR), bar, height, color=color, alpha=0.55, lw=0)
        )
        for x, text, side in (
            (left + 1, _cut(class_names[index], 15), "left"),
            (left + width, f"{probabilities[index]:.1%}", "right"),
        ):
            axes.text(x, y + _BAR / 2, text, va="center", ha=side, fontsize=7)


def calibration_picture(calibration: Calibration) -> Picture:
    """Draws the reliability diagram."""
    error = f"xpected calibration error {calibration.expected_error:.4f}"
    return Picture(
        name="calibration",
        title="Calibration",
        note=f"E{error}: how far confidence is from the share of right answers, on average "
        "(15 bins). A bar below the dashed line is over-confident. The small bars tell how many "
        "answers have that confidence.",
        description=f"Reliability diagram, e{error}",
        make=functools.partial(_draw_calibration, calibration),
    )


def _draw_calibration(calibration: Calibration) -> Figure:
    figure = new_figure(300, 340)
    upper = figure.add_axes((0.15, 0.36, 0.82, 0.62))
    lower = figure.add_axes((0.15, 0.14, 0.82, 0.16), sharex=upper)
    upper.tick_params(labelbottom=False)
    bins = len(calibration.counts)
    centers, width = (np.arange(bins) + 0.5) / bins, 0.92 / bins
    filled = calibration.counts > 0
    upper.bar(centers[filled], calibration.accuracies[filled], width, color=RIGHT, alpha=0.75)
    upper.plot(
        calibration.confidences[filled], calibration.accuracies[filled], ".", color=INK, ms=4
    )
    upper.plot([0, 1], [0, 1], "--", color=INK, lw=1)
    upper.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    lower.bar(centers, calibration.counts / calibration.counts.sum(), width, color=FAINT)
    lower.set(xlabel="confidence", ylabel="answers")
    lower.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    return figure
