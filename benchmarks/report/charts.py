"""The pictures of the report, as inline SVG: bars with intervals, stacked phases."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from benchmarks.report import formats
from benchmarks.report.colors import contender_color
from benchmarks.report.panels import Bar, Panel
from flowrate.pages.drawing import (
    FAINT,
    INK,
    PAPER,
    WIDTH,
    drawing,
    new_figure,
    phase_color,
    to_svg,
)

# Beyond this ratio within a panel the small bars would vanish: the axis becomes logarithmic.
LOG_FROM = 30
# In units of the view box.
ROW, LABEL_LINE, HEAD, FOOT, SIDE = 31, 11, 6, 34, 8
LABEL_WIDTH = 46


def bar_panel(name: str, panel: Panel, unit: str, contenders: list[str]) -> Markup:
    """Draws one figure per bar with its interval; its limit as a line across it.

    Where the largest is more than LOG_FROM times the smallest, points on a logarithmic axis take
    the place of bars, whose length would mean nothing there.
    """
    is_log = is_logarithmic(panel)

    def draw(axes: Axes, bar: Bar, label: str, place: float) -> None:
        _draw_bar(axes, bar, label, place, contender_color(bar.contender, contenders), is_log)

    def scale(axes: Axes) -> None:
        _rate_axis(axes, _all_ends(panel), is_log)

    title = "seconds" if unit == "s" else unit
    return _panel(name, panel, title, _describe(panel, unit), draw, scale)


def accuracy_panel(name: str, panel: Panel, contenders: list[str]) -> Markup:
    """Draws points with their standard deviation; the axis does not begin at zero."""

    def draw(axes: Axes, bar: Bar, label: str, place: float) -> None:
        _draw_bar(axes, bar, label, place, contender_color(bar.contender, contenders), True)

    def scale(axes: Axes) -> None:
        ends = _all_ends(panel)
        width = max(max(ends) - min(ends), 0.004)
        axes.set_xlim(min(ends) - 0.1 * width, max(ends) + 0.1 * width)
        axes.xaxis.set_major_locator(MaxNLocator(4))

    title = "test accuracy"
    return _panel(name, panel, title, _describe(panel, title), draw, scale)


def phases_panel(name: str, panel: Panel, phases: list[str]) -> Markup:
    """Draws where the wall time of each bar went, one part per phase, in seconds."""

    def draw(axes: Axes, bar: Bar, label: str, place: float) -> None:
        left = 0.0
        for phase, seconds in bar.parts:
            axes.barh(
                place, seconds, 12, left=left, color=phase_color(phase, phases),
                edgecolor=PAPER, linewidth=0.5,
            )  # fmt: skip
            left += seconds
        _label(axes, label, f"{formats.number(left)} s", place)

    def scale(axes: Axes) -> None:
        _rate_axis(axes, [sum(seconds for _, seconds in bar.parts) for bar in panel.bars], False)

    title = "seconds"
    return _panel(name, panel, title, _describe(panel, title), draw, scale)


def is_logarithmic(panel: Panel) -> bool:
    """Tells whether the figures of a panel need a logarithmic axis."""
    ends = _all_ends(panel)
    return min(ends) > 0 and max(ends) > LOG_FROM * min(ends)


def _panel(
    name: str,
    panel: Panel,
    title: str,
    description: str,
    draw: Callable[[Axes, Bar, str, float], None],
    scale: Callable[[Axes], None],
) -> Markup:
    """Draws a row per bar over one axis.

    Args:
        title: of the axis.
        description: for who cannot see it.
        draw: draws a bar, with its label, at a place from the top.
        scale: sets the axis.
    """
    labels, places, height = _rows(panel.bars)
    with drawing(name):
        figure = new_figure(height)
        axes = _axes(figure, height)
        for bar, label, place in zip(panel.bars, labels, places):
            draw(axes, bar, label, place)
        _finish(axes, title)
        scale(axes)
        return to_svg(figure, description)


def _rows(bars: Sequence[Bar]) -> tuple[list[str], list[float], float]:
    """Returns wrapped labels, the middle of each bar from the top, and the height of the chart."""
    labels = ["\n".join(textwrap.wrap(bar.label, LABEL_WIDTH)) for bar in bars]
    places, top = [], float(HEAD)
    for label in labels:
        top += ROW + LABEL_LINE * label.count("\n")
        places.append(top - 9)
    return labels, places, top + FOOT


def _axes(figure, height: float) -> Axes:
    """Returns axes whose vertical units are those of the view box, counted from the top."""
    axes = figure.add_axes((SIDE / WIDTH, FOOT / height, 1 - 2 * SIDE / WIDTH, 1 - FOOT / height))
    axes.set_ylim(height - FOOT, 0)
    return axes


def _draw_bar(axes: Axes, bar: Bar, label: str, place: float, color: str, as_point: bool) -> None:
    _label(axes, label, bar.text, place)
    if bar.value is None:
        return
    if as_point:
        axes.plot([bar.value], [place], "o", color=color, markersize=6)
    else:
        axes.barh(place, bar.value, 12, color=color)
    if bar.low is not None and bar.high is not None:
        axes.errorbar(
            [bar.value], [place], color=INK, elinewidth=1.1, capsize=3, fmt="none",
            xerr=[[max(0.0, bar.value - bar.low)], [max(0.0, bar.high - bar.value)]],
        )  # fmt: skip
    if bar.limit is not None:
        axes.plot([bar.limit] * 2, [place - 7, place + 7], color=INK, linewidth=1.6)


def _label(axes: Axes, label: str, figure: str, place: float) -> None:
    """Writes the name above the bar at the left and its figure at the right, clear of all marks."""
    common = {"transform": axes.get_yaxis_transform(), "va": "bottom", "linespacing": 1.1}
    axes.text(0, place - 8.5, label, fontsize=8.5, **common)
    # On paper of its own: lines of the grid would run through the figure.
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    axes.text(1, place - 8.5, figure, ha="right", bbox=paper, **common)


def _all_ends(panel: Panel) -> list[float]:
    return [
        end
        for bar in panel.bars
        for end in (bar.value, bar.low, bar.high, bar.limit)
        if end is not None
    ]


def _finish(axes: Axes, unit: str) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", linewidth=0.5, color=FAINT)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel(unit, fontsize=8.5)


def _rate_axis(axes: Axes, ends: Sequence[float], is_log: bool) -> None:
    if is_log:
        axes.set_xscale("log")
        span = max(ends) / min(ends)
        axes.set_xlim(min(ends) / span**0.06, max(ends) * span**0.06)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, max(ends) * 1.03 or 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def tick(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _describe(panel: Panel, unit: str) -> str:
    figures = "; ".join(f"{bar.label}: {bar.text}" for bar in panel.bars)
    return f"{panel.title}, {unit}. {figures}"
