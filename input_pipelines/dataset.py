"""What a data set file says of itself, and what it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts of a data set that hold before it is read.

    Attributes:
        title: the name people know it by.
        homepage: where it comes from.
        licence: under which terms.
        image_shape: (height, width, channels) a model gets unless `--image_size` says otherwise.
            Height and width are zero where the size must be chosen by the user.
        class_names: in label order; empty where only the data tells.
        num_examples: examples per published split; empty where only the data tells.
        default_model: the model trained where `--model` names none.
        augmentation: what `--augmentation=preset` stands for.
        has_image_files: whether `load` gives image files (FileSource), not arrays. A model of it
            reads other files as it read those.
        has_columns: whether it is a table, whose columns `--columns` may name.
        dark_background: whether its images are bright on black; dark on white is then inverted.
    """

    title: str
    homepage: str
    licence: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()
    num_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    default_model: str = "cnn"
    augmentation: str = "none"
    has_image_files: bool = False
    has_columns: bool = False
    dark_background: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What `load` may need.

    Attributes:
        data_dir: the folder the user named; None means: look in the usual places.
        argument: what followed the colon in `--dataset=family:NAME`.
        image_shape: (height, width, channels) the images will be brought to.
        seed: of the run; for data that is drawn, not read.
        columns: {image, label or split: the column that holds it}, as far as the user named them.
        excluded: image files to leave out, as if they were not there.
        tell: is told what a person should know of the files.
    """

    data_dir: Path | None = None
    argument: str = ""
    image_shape: tuple[int, int, int] = (0, 0, 0)
    seed: int = 0
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excluded: frozenset[Path] = frozenset()
    tell: Callable[[str], None] = lambda _: None
