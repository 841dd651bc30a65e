"""The charts of the page."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

from flowrate.pages.drawing import FAINT, INK, SERIES_COLORS, Picture, new_figure
from flowrate.text import printable
from input_pipelines.inspect.counts import Counts
from input_pipelines.inspect.headers import HeaderScan
from input_pipelines.inspect.pixels import UNSEEN, PixelStatistics

# More bars than this have no room for names.
_MAX_NAMED = 40
_WIDTH, _HEIGHT = 420, 250
_NAME_LENGTH = 20
_CHANNEL_NAMES = ("red", "green", "blue", "alpha")
_CHANNEL_COLORS = ("#d3313f", "#1f9a47", "#3f7fd9")
_EDGES = np.arange(0, 257, 4)
_SPLIT_COLORS = {
    "train": SERIES_COLORS[0],
    "validation": SERIES_COLORS[4],
    "test": SERIES_COLORS[1],
}
# Sizes are counted on a grid of so many fields a side.
_SIZE_FIELDS = 40


def class_pictures(counts: Counts) -> list[Picture]:
    """Returns a bar chart of the classes for each split."""
    return [
        Picture(
            name=f"classes-{split}",
            title=f"{split}: {counts.examples(split):,} examples",
            note="",
            description=f"Examples of each class in {split}",
            make=lambda split=split: _draw_classes(counts, split),
        )
        for split in counts.by_split
    ]


def _draw_classes(counts: Counts, split: str) -> Figure:
    of_class, color = counts.by_split[split], _SPLIT_COLORS.get(split, SERIES_COLORS[2])
    if len(of_class) > _MAX_NAMED:
        figure = new_figure(_HEIGHT, _WIDTH, layout="constrained")
        axes = figure.add_subplot()
        edges = np.arange(len(of_class) + 1) + 0.5
        axes.stairs(-np.sort(-of_class), edges, color=color, fill=True)
        axes.set(xlabel="classes, largest first", ylabel="examples", xlim=(0, edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        return figure
    figure = new_figure(40 + 19 * len(of_class), _WIDTH, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(of_class))
    bars = axes.barh(places, of_class, color=color, height=0.72)
    shares = counts.shares(split)
    axes.bar_label(
        bars, [f"{n:,} ({share:.1%})" for n, share in zip(of_class, shares)], padding=3, fontsize=8
    )
    axes.set_yticks(places, [_short(name) for name in counts.class_names])
    axes.set(ylim=(len(of_class) - 0.4, -0.6), xlim=(0, 1.28 * of_class.max()), xlabel="examples")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="x", color=FAINT, lw=0.5)
    return figure


def pixel_pictures(pixels: PixelStatistics) -> list[Picture]:
    """Returns how often each level occurs, and how bright images are."""
    if not pixels.num_images:
        return []
    return [
        Picture(
            name="levels", title="Levels of all pixels",
            note="", description="Histogram of pixel levels by channel",
            make=lambda: _draw_levels(pixels),
        ),
        Picture(
            name="brightness", title="Brightness of images",
            note="", description="Histogram of the mean level of each image, by split",
            make=lambda: _draw_brightness(pixels),
        ),
    ]  # fmt: skip


def _draw_levels(pixels: PixelStatistics) -> Figure:
    figure, axes = _new_axes("level", "share of pixels")
    is_colour = len(pixels.levels) == len(_CHANNEL_COLORS)
    colors = _CHANNEL_COLORS if is_colour else [SERIES_COLORS[0]] * len(pixels.levels)
    # By fours: rounding favours even levels.
    shares = pixels.levels.reshape(len(pixels.levels), -1, 4).sum(axis=2)
    shares = shares / shares.sum(axis=1, keepdims=True)
    for of_channel, name, color in zip(shares, _CHANNEL_NAMES, colors):
        axes.stairs(of_channel, _EDGES, color=color, alpha=0.12, fill=True)
        axes.stairs(of_channel, _EDGES, color=color, lw=1.3, label=name if is_colour else None)
    axes.set_xlim(0, 256)
    # Black and white are most pixels of many sets; the levels between are to be seen too.
    usual = 1.5 * float(np.sort(shares, axis=1)[:, -6].max())
    if shares.max() > 2 * usual > 0:
        axes.set_ylim(0, usual)
        axes.set_title(f"cut off: the highest bar is {shares.max():.0%}", fontsize=8)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.locator_params(axis="y", nbins=6)
    if is_colour:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_brightness(pixels: PixelStatistics) -> Figure:
    figure, axes = _new_axes("mean level of the image", "share of images")
    for split, values in pixels.brightness.items():
        seen = values[values != UNSEEN]
        if not seen.size:
            continue
        shares = np.histogram(seen, _EDGES)[0] / seen.size
        color = _SPLIT_COLORS.get(split, SERIES_COLORS[2])
        axes.stairs(shares, _EDGES, color=color, lw=1.4, label=split)
    axes.set_xlim(0, 256)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, fontsize=8)
    return figure


def size_pictures(scan: HeaderScan | None) -> list[Picture]:
    """Returns the sizes of the images and their aspect ratios; empty where all are alike."""
    if scan is None or len(sizes := scan.sizes()) == 0 or (sizes == sizes[0]).all():
        return []
    return [
        Picture(
            name="sizes", title="Widths and heights",
            note="", description="Image heights over widths, in pixels",
            make=lambda: _draw_sizes(sizes),
        ),
        Picture(
            name="aspects", title="Aspect ratios",
            note="", description="Histogram of width over height",
            make=lambda: _draw_aspects(sizes),
        ),
    ]  # fmt: skip


def _draw_sizes(sizes: np.ndarray) -> Figure:
    figure, axes = _new_axes("width in pixels", "height in pixels")
    field = np.maximum(1, np.ceil(np.ptp(sizes, axis=0) / _SIZE_FIELDS)).astype(int)
    _, places, counts = np.unique(sizes // field, axis=0, return_inverse=True, return_counts=True)
    places = places.reshape(-1)
    # Where the images of a field really are, which its middle need not be.
    centers = np.stack(
        [np.bincount(places, weights=sizes[:, axis]) / counts for axis in (0, 1)], axis=1
    )
    area = 8 + 220 * counts / counts.max()
    axes.scatter(
        centers[:, 0], centers[:, 1], s=area, color=SERIES_COLORS[0], alpha=0.55, lw=0.6,
        edgecolors=INK,
    )  # fmt: skip
    axes.margins(0.08)
    axes.locator_params(nbins=7)
    return figure


def _draw_aspects(sizes: np.ndarray) -> Figure:
    figure, axes = _new_axes("width / height", "images")
    ratios = np.log2(sizes[:, 0] / sizes[:, 1])
    reach = max(0.5, float(np.abs(ratios).max()) * 1.05)
    counts, edges = np.histogram(ratios, 41, (-reach, reach))
    axes.stairs(counts, 2**edges, color=SERIES_COLORS[0], fill=True)
    axes.set_xscale("log", base=2)
    wide, close = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16), (1 / 2, 2 / 3, 1, 3 / 2, 2)
    ticks = [each for each in (wide if reach > 1.5 else close) if 2**-reach <= each <= 2**reach]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _new_axes(x_label: str, y_label: str):
    figure = new_figure(_HEIGHT, _WIDTH, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(color=FAINT, lw=0.5)
    return figure, axes


def _short(name: str) -> str:
    """Returns the name in at most 20 characters."""
    text = printable(name)
    return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 1]}…"
