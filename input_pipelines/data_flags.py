"""The flags that name a data set: the same in training and in a look at it."""

from __future__ import annotations

import dataclasses

from flowrate.options import option
from input_pipelines.datasets import DATASETS

DATA = "Data"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Which images, of what size, and how many are held out; configs begin with it."""

    dataset: str = option(
        "digits", group=DATA, help=f"The data set: {', '.join(DATASETS.spellings())}."
    )
    data_dir: str | None = option(
        None,
        group=DATA,
        help="Folder with the data set's files; unset: the usual places. Of a table, its file.",
    )
    columns: str | None = option(
        None, group=DATA,
        help="image=NAME,label=NAME,split=NAME: columns of a table; unset: by their usual names.",
    )  # fmt: skip
    image_size: int | None = option(
        None, group=DATA, lower_bound=1, upper_bound=4096,
        help="Side in pixels that images are brought to; unset: the data set's own.",
    )  # fmt: skip
    validation_examples: int = option(
        0, group=DATA, lower_bound=0,
        help="Examples held out of training for validation, stratified, drawn by the seed.",
    )  # fmt: skip
