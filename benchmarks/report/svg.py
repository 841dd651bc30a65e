"""Draws with matplotlib and returns inline SVG: text kept as text, colours of the page's scheme."""

from __future__ import annotations

import contextlib
import html
import io
import re
import warnings
from collections.abc import Iterator

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Ink and lines take the page's colours, light or dark; these stand for them until the SVG is made.
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
_ON_PAGE = {
    INK: "var(--ink, #1b1f24)",
    FAINT: "var(--line, #c9ced6)",
    PAPER: "var(--paper, #ffffff)",
}

# Okabe and Ito's colours: told apart with every common colour blindness, on white and on black.
_CONTENDER_COLORS = {
    "flowrate": "#0072b2",
    "keras_fit": "#e69f00",
    "torch_eager": "#d55e00",
    "torch_compiled": "#cc79a7",
    "jax_scan": "#009e73",
    "jax_step": "#56b4e9",
    "image_dataset_from_directory": "#e69f00",
    "torch_dataloader": "#d55e00",
}
_OTHER_COLORS = ("#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9", "#8a8f98")
# Lines of one picture, none of which is a contender.
SERIES_COLORS = ("#0072b2", *_OTHER_COLORS)
# Paul Tol's "muted" colours, nine that hold up side by side.
_PHASE_COLORS = {
    "import": "#ddcc77",
    "data": "#88ccee",
    "build": "#999933",
    "compile": "#cc6677",
    "train": "#4477aa",
    "input_wait": "#882255",
    "evaluate": "#44aa99",
    "checkpoint": "#aa4499",
    "other": "#b4b8bf",
}
_MORE_PHASE_COLORS = ("#117733", "#ee8866", "#6699cc", "#bbcc33", "#994455")

# Units of the view box to an inch: a chart 340 wide is read at about that many pixels.
WIDTH = 340
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    # Names are names: a "$" in one starts no formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.dpi": 72,
    "savefig.dpi": 72,
}


def contender_color(contender: str, contenders: list[str]) -> str:
    """Returns a contender's colour: its own, or one by its place among those without."""
    if contender in _CONTENDER_COLORS:
        return _CONTENDER_COLORS[contender]
    others = [name for name in contenders if name not in _CONTENDER_COLORS]
    return _OTHER_COLORS[others.index(contender) % len(_OTHER_COLORS)]


def phase_color(phase: str, phases: list[str]) -> str:
    """Returns a phase's colour: its own, or one by its place among those without."""
    if phase in _PHASE_COLORS:
        return _PHASE_COLORS[phase]
    others = [name for name in phases if name not in _PHASE_COLORS]
    return _MORE_PHASE_COLORS[others.index(phase) % len(_MORE_PHASE_COLORS)]


@contextlib.contextmanager
def drawing(name: str) -> Iterator[None]:
    """Within the block matplotlib draws in the report's style, whatever the user's settings.

    Args:
        name: of the chart; ids within the SVG depend on it, so that charts of a page share none.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A script that the font lacks is drawn by the browser, which has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": name})
        yield


def new_figure(height: float) -> Figure:
    """Returns an empty figure WIDTH by `height` units; call it within `drawing`."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="none")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Figure, description: str) -> Markup:
    """Returns the figure as an <svg> element for a page, described for those who cannot see it."""
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Groups are numbered alike in every chart; nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for color, variable in _ON_PAGE.items():
        text = text.replace(color, variable)
    view_box = re.search(r'viewBox="[^"]*"', text).group()
    label = html.escape(description)
    text = re.sub(
        r"<svg[^>]*>",
        lambda _: f'<svg {view_box} role="img" aria-label="{label}">',
        text,
        count=1,
    )
    # In a page, SVG's own references need no namespace.
    return Markup(text.replace("xlink:href", "href").strip())
