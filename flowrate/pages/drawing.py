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
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from flowrate.pages.colors import FAINT, INK, PAPER, RIGHT, SERIES_COLORS, WRONG, phase_color

__all__ = [
    "FAINT", "INK", "PAPER", "RIGHT", "SERIES_COLORS", "WIDTH", "WRONG", "Picture", "drawing",
    "new_figure", "phase_color", "to_png", "to_svg",
]  # fmt: skip

_ON_PAGE = {
    INK: f"var(--ink, {INK})",
    FAINT: f"var(--line, {FAINT})",
    PAPER: f"var(--paper, {PAPER})",
    RIGHT: f"var(--right, {RIGHT})",
    WRONG: f"var(--wrong, {WRONG})",
}

# Units of the view box to an inch: a chart 340 wide is read at about that many pixels.
WIDTH = 340
# Any: matplotlib's own type of a name lists all names.
_STYLE: dict[Any, Any] = {
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
    # matplotlib's own types leave "none" out.
    figure = Figure(figsize=(width / 72, height / 72), layout=layout)  # type: ignore[arg-type]
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
    view_box = re.search(r'viewBox="[^"]*"', text)
    assert view_box is not None  # matplotlib writes one.
    label = html.escape(description)
    text = re.sub(
        r"<svg[^>]*>",
        lambda _: f'<svg {view_box.group()} role="img" aria-label="{label}">',
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
