"""The charts of the page."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

from flowrate.drawing import FAINT, INK, SERIES_COLORS, Picture, new_figure
from input_pipelines._printable import printable
from input_pipelines.inspect.counts import Counts
from input_pipelines.inspect.headers import HeaderScan
from input_pipelines.inspect.pixels import UNSEEN, PixelStatistics

# More bars than this have no room for names.
_MAX_NAMED = 40
_WIDTH, _HEIGHT = 420, 250
_NAME_LENGTH = 20
_CHANNEL_COLORS = ("#c8102e", "#1a8a3a", "#1f5fbf")
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
        axes.fill_between(range(1, len(of_class) + 1), -np.sort(-of_class), color=color, step="mid")
        axes.set(xlabel="classes, largest first", ylabel="examples", ylim=(0, None))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        return figure
    figure = new_figure(40 + 19 * len(of_class), _WIDTH, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(of_class))
    bars = axes.barh(places, of_class, color=color, height=0.72)
    shares = counts.shares(split)
    axes.bar_label(
        bars, [f"{n:,}  {share:.1%}" for n, share in zip(of_class, shares)], padding=3, fontsize=8
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
    names = ("red", "green", "blue") if len(pixels.levels) == 3 else ("grey", "", "", "")
    colors = _CHANNEL_COLORS if len(pixels.levels) == 3 else (SERIES_COLORS[0],) * 4
    tallest = 0.0
    for counts, name, color in zip(pixels.levels, names, colors):
        shares = counts / counts.sum()
        axes.stairs(shares, np.arange(257), color=color, lw=1.2, label=name or None)
        axes.stairs(shares, np.arange(257), color=color, alpha=0.12, fill=True)
        # Paper and ink, black and white, are most pixels of many sets; the rest is to be seen too.
        tallest = max(tallest, float(np.sort(shares)[-8]) * 1.6)
    highest = max(float((counts / counts.sum()).max()) for counts in pixels.levels)
    if highest > 2.5 * tallest > 0:
        axes.set_ylim(0, tallest)
        axes.text(
            0.5, 0.98, f"levels beyond the edge: up to {highest:.0%}", ha="center", va="top",
            fontsize=8, transform=axes.transAxes,
        )  # fmt: skip
    axes.set_xlim(0, 256)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    if len(pixels.levels) == 3:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_brightness(pixels: PixelStatistics) -> Figure:
    figure, axes = _new_axes("mean level of the image", "share of images")
    for split, values in pixels.brightness.items():
        seen = values[values != UNSEEN]
        if not seen.size:
            continue
        shares = np.histogram(seen, 64, (0, 256))[0] / seen.size
        color = _SPLIT_COLORS.get(split, SERIES_COLORS[2])
        axes.stairs(shares, np.linspace(0, 256, 65), color=color, lw=1.4, label=split)
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
    field = max(1, int(np.ceil((sizes.max() - sizes.min()) / _SIZE_FIELDS)))
    fields, counts = np.unique(sizes // field, axis=0, return_counts=True)
    centers = fields * field + (field - 1) / 2
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
    ticks = [each for each in (1 / 8, 1 / 4, 1 / 2, 2 / 3, 1, 3 / 2, 2, 4, 8)
             if 2**-reach <= each <= 2**reach]  # fmt: skip
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
