"""The flags of `python -m trainer.predict`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import option
from trainer.trained.run import FINAL

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
_GROUP = "Prediction"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How to predict."""

    top: int = option(
        3, group=_GROUP, lower_bound=1, upper_bound=1000, help="Classes to tell, best first."
    )
    json: bool = option(False, group=_GROUP, help="Print JSON in place of lines.")
    plot: str | None = option(
        None, group=_GROUP,
        help=f"Draw the images and their classes into this file ({', '.join(PLOT_SUFFIXES)}).",
    )  # fmt: skip
    invert: str = option(
        "auto", group=_GROUP, choices=("auto", "on", "off"),
        help="Dark on white to bright on black; auto: where the run's data set is bright on black "
        "(mnist, fashion_mnist, digits) and the median pixel of an image's border is brighter "
        "than 127.",
    )  # fmt: skip
    checkpoint: str = option(
        FINAL, group=_GROUP,
        help="final (what result.json tells of), best (of the evaluations), latest, or a step.",
    )  # fmt: skip
    batch_size: int | None = option(
        None, group=_GROUP, lower_bound=1, upper_bound=4096,
        help="Images per call of the model; unset: as in an evaluation, for its very answers.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)
        if self.plot is None:
            return
        path = Path(self.plot).expanduser()
        if path.suffix.lower() not in PLOT_SUFFIXES:
            raise ConfigError(f"--plot={self.plot}: give a name in {', '.join(PLOT_SUFFIXES)}.")
        if not path.parent.is_dir():
            raise ConfigError(f"--plot={self.plot}: there is no folder {path.parent}.")
