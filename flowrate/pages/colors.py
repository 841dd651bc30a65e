"""The colours of pages and pictures."""

from __future__ import annotations

from collections.abc import Sequence

# Ink and lines take the page's colours, light or dark; without a page these, made for white.
INK, FAINT, PAPER = "#1b1f24", "#c9ced6", "#fefefe"
# Of answers; a sign always goes with them.
RIGHT, WRONG = "#0072b1", "#d05800"

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


def series_color(name: str, names: Sequence[str]) -> str:
    """Returns the colour of one of several series: the same as long as the names are the same."""
    return SERIES_COLORS[names.index(name) % len(SERIES_COLORS)]


def phase_color(phase: str, phases: Sequence[str]) -> str:
    """Returns a phase's colour: its own, or one by its place among those without."""
    if phase in _PHASE_COLORS:
        return _PHASE_COLORS[phase]
    others = [name for name in phases if name not in _PHASE_COLORS]
    return _MORE_PHASE_COLORS[others.index(phase) % len(_MORE_PHASE_COLORS)]
