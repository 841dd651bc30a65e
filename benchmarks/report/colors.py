"""Which colour stands for which contender."""

from __future__ import annotations

from flowrate.pages.drawing import SERIES_COLORS

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
_OTHER_COLORS = SERIES_COLORS[1:]


def contender_color(contender: str, contenders: list[str]) -> str:
    """Returns a contender's colour: its own, or one by its place among those without."""
    if contender in _CONTENDER_COLORS:
        return _CONTENDER_COLORS[contender]
    others = [name for name in contenders if name not in _CONTENDER_COLORS]
    return _OTHER_COLORS[others.index(contender) % len(_OTHER_COLORS)]
