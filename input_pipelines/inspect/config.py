"""What is to be looked at, and where the page goes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from flowrate import options
from flowrate.options import option
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.data_flags import DATA, DataFlags
from input_pipelines.datasets import DATASETS

_PAGE = "What is looked at"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig(DataFlags):
    """The flags. Those of the data set mean what they mean in training.

    Raises (on construction):
        ConfigError: a value that cannot be.
    """

    augmentation: str = option(
        "preset", group=DATA,
        help="Shown on one image, nine times: none, preset (the data set's own), or a comma list "
        f"of {', '.join(_augmentation_names.NAMES)}.",
    )  # fmt: skip
    seed: int = option(
        0, group=DATA, lower_bound=0, upper_bound=2**31 - 1,
        help="Decides held-out examples, augmentation, and which images are shown or drawn.",
    )  # fmt: skip
    max_images: int = option(
        100_000, group=_PAGE, lower_bound=0,
        help="Decode at most so many images, each class with its share; 0: all. Headers and "
        "duplicates are always of all.",
    )  # fmt: skip
    verify: bool = option(
        False, group=_PAGE,
        help="Read every image file again, also where size and time have not changed since the "
        "manifest was made.",
    )  # fmt: skip
    probe_seconds: float = option(
        3.0, group=_PAGE, lower_bound=0, upper_bound=600,
        help="How long the input is run to measure its rate; 0: not at all.",
    )  # fmt: skip
    output: str | None = option(
        None, group=_PAGE,
        help="Folder of inspect.html and inspect.json; unset: inspect-DATASET here.",
    )  # fmt: skip
    json: bool = option(False, group=_PAGE, help="Print JSON in place of tables.")

    def __post_init__(self):
        options.check(self)
        DATASETS.check(self.dataset)
        # What `preset` stands for, the data set's file says.
        if self.augmentation != "preset":
            _augmentation_names.parse(self.augmentation)

    @property
    def folder(self) -> Path:
        """Where the page and the record go."""
        name = re.sub(r"[^\w.+-]", "-", self.dataset)
        return Path(self.output or f"inspect-{name}").expanduser()
