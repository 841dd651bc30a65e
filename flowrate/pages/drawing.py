"""Pictures of pages, by matplotlib, as inline SVG: text kept as text, colours of the page's scheme.

Only what makes a page imports this file: matplotlib takes half a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import html
import io
import re
import warnings
from collections.abc import Callable, Iterator

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Ink and lines take the page's colours, light or dark; without a page these, made for white.
INK, FAINT, PAPER = "#1b1f24", "#c9ced6", "#fefefe"
# Of answers; a sign always goes with them.
RIGHT, WRONG = "#0072b1", "#d05800"
_ON_PAGE = {
    INK: f"var(--ink, {INK})",
    FAINT: f"var(--line, {FAINT})",
    PAPER: f"var(--paper, {PAPER})",
    RIGHT: f"var(--right, {RIGHT})",
    WRONG: f"var(--wrong, {WRONG})",
}

# Okabe and Ito's colours: told apart with every common colour blindness, on white and on black.
SERIES_COLORS = ("#0072b2", "#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9", "#8a8f98")
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
    # Images of one picture stay as they are, pixel for pixel.
    "image.composite_image": False,
    "figure.dpi": 72,
    "savefig.dpi": 72,
}


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


def new_figure(height: float, width: float = WIDTH, layout: str = "none") -> Figure:
    """Returns an empty figure of `width` by `height` units; call it within `drawing`."""
    figure = Figure(figsize=(width / 72, height / 72), layout=layout)
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
    text = re.sub("|".join(_ON_PAGE), lambda found: _ON_PAGE[found.group()], text)
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


def to_png(figure: Figure, scale: float = 1.5) -> bytes:
    """Returns the figure as PNG, dark on white: for where no page gives colours."""
    buffer = io.BytesIO()
    # Level 1: a third larger, in a third of the time.
    options = {"compress_level": 1}
    figure.savefig(buffer, format="png", dpi=72 * scale, facecolor="white", pil_kwargs=options)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure with its words, drawn when asked for.

    Attributes:
        name: unique within a page.
        title: above it.
        note: what is to be seen, and how to read it.
        description: for those who cannot see it.
        make: draws it.
    """

    name: str
    title: str
    note: str
    description: str
    make: Callable[[], Figure]

    def svg(self) -> Markup:
        """Returns it for a page."""
        with drawing(self.name):
            return to_svg(self._figure, self.description)

    def png(self) -> bytes:
        """Returns it for where no page is."""
        with drawing(self.name):
            return to_png(self._figure)

    @functools.cached_property
    def _figure(self) -> Figure:
        return self.make()
