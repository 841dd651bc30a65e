"""Lines over the number of replicas, next to the ideal one, as inline SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.report import formats
from benchmarks.report.charts import tick
from benchmarks.report.scaling import ScalingPoint, ScalingSeries
from flowrate.pages.drawing import INK, SERIES_COLORS, WIDTH, drawing, new_figure, to_svg

IDEAL = "ideal"
MARKERS = "os^Dvp"
LABEL_WIDTH = 58
LEGEND_LINE = 13


def scaling_panel(name: str, title: str, series: Sequence[ScalingSeries], what: str) -> Markup:
    """Draws a line per series over the number of replicas, and the ideal as a dashed one.

    Args:
        what: "images" for images/s, "efficiency" for the share of the ideal.
    """
    legend_height = LEGEND_LINE * (len(series) + 1) + 6
    height = 196 + legend_height
    with drawing(name):
        figure = new_figure(height)
        axes = figure.add_axes((46 / WIDTH, 34 / height, 1 - 58 / WIDTH,
                                1 - (44 + legend_height) / height))  # fmt: skip
        for number, one in enumerate(series):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            _draw_series(axes, one, what, color, MARKERS[number % len(MARKERS)])
        counts = sorted({point.num_replicas for one in series for point in one.points})
        if what == "efficiency":
            axes.plot(counts, [1.0] * len(counts), "--", color=INK, linewidth=0.8, label=IDEAL)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("replicas")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.06)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        axes.grid(axis="y", linewidth=0.5)
        axes.tick_params(length=0)
        figure.legend(
            *_unique_legend(axes), loc="upper left", frameon=False, fontsize=8.5,
            bbox_to_anchor=(4 / WIDTH, 1.0), borderaxespad=0.2, labelspacing=0.25,
        )  # fmt: skip
        figures = "; ".join(
            f"{one.name} {point.num_replicas}: {formats.number(_of(point, what)[0])}"
            for one in series
            for point in one.points
        )
        return to_svg(figure, f"{title}: {what} by number of replicas. {figures}")


def _draw_series(axes: Axes, series: ScalingSeries, what: str, color: str, marker: str) -> None:
    counts, centers, below, above = [], [], [], []
    for point in series.points:
        center, low, high = _of(point, what)
        if center is None:
            continue
        counts.append(point.num_replicas)
        centers.append(center)
        below.append(max(0.0, center - (center if low is None else low)))
        above.append(max(0.0, (center if high is None else high) - center))
    axes.errorbar(
        counts, centers, yerr=[below, above], color=color, marker=marker, markersize=5,
        linewidth=1.5, elinewidth=1.2, capsize=3, label=series.name or series.group,
    )  # fmt: skip
    if what == "images" and counts and counts[0] == 1:
        ideal = [centers[0] * count for count in counts]
        axes.plot(counts, ideal, "--", color=INK, linewidth=0.8, label=IDEAL)


def _of(point: ScalingPoint, what: str) -> tuple[float | None, float | None, float | None]:
    if what == "images":
        return point.images.median, point.images.low, point.images.high
    return point.efficiency, point.efficiency_low, point.efficiency_high


def _unique_legend(axes: Axes) -> tuple[list, list[str]]:
    """One entry per name, the ideal last; a long name is cut."""
    handles, names = axes.get_legend_handles_labels()
    found: dict[str, Any] = {}
    for handle, name in zip(handles, names):
        found.setdefault(name, handle)
    order = sorted(found, key=lambda name: name == IDEAL)
    return [found[name] for name in order], [textwrap.shorten(name, LABEL_WIDTH) for name in order]
