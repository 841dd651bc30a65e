"""How a list of augmentations is written. No TensorFlow."""

from __future__ import annotations

import itertools

import pytest

from flowrate.errors import ConfigError
from input_pipelines.augmentation.names import MIXING, NAMES, parse
from input_pipelines.datasets import DATASETS


@pytest.mark.parametrize(
    ("text", "preset", "names"),
    [
        ("none", "flip", ()),
        ("flip", "none", ("flip",)),
        ("preset", "none", ()),
        ("preset", "flip,rotation", ("rotation", "flip")),
        ("cutmix,flip,rotation", "crop", ("rotation", "flip", "cutmix")),
        (" flip , crop ", "none", ("crop", "flip")),
        (",".join(reversed(NAMES)), "none", NAMES),
    ],
)
def test_parse(text, preset, names):
    assert parse(text, preset) == names


def test_the_order_given_makes_no_difference():
    for given in itertools.permutations(["zoom", "flip", "mixup"]):
        assert parse(",".join(given)) == ("zoom", "flip", "mixup")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flop", "--augmentation=flop: no augmentation 'flop'. Did you mean 'flip'? Give none, "
                 f"preset, or a comma list of {', '.join(NAMES)}."),
        ("flip,cutmax", "--augmentation=flip,cutmax: no augmentation 'cutmax'. "
                        "Did you mean 'cutmix'? Give none"),
        ("flip,none", "--augmentation=flip,none: no augmentation 'none'."),
        ("flip,,crop", "--augmentation=flip,,crop: no augmentation ''. Give none"),
        ("", "--augmentation=: no augmentation ''. Give none"),
        ("flip,crop,flip", "--augmentation=flip,crop,flip: a name stands twice."),
    ],
)  # fmt: skip
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


def test_the_presets_of_all_data_sets_can_be_read():
    for entry in DATASETS.names():
        module, _ = DATASETS.load(f"{entry}:x" if entry in DATASETS.families else entry)
        assert set(parse("preset", module.INFO.augmentation)) <= set(NAMES)


def test_what_mixes_comes_last():
    assert tuple(name for name in NAMES if name in MIXING) == NAMES[-len(MIXING) :]
