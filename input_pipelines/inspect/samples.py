"""Which images the page shows, decoded as training sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from flowrate.text import printable
from input_pipelines.augmentation.names import MIXING
from input_pipelines.inspect.decoding import decode_some
from input_pipelines.inspect.duplicates import Duplicates
from input_pipelines.inspect.example import Example, Naming
from input_pipelines.inspect.inspection import Inspection
from input_pipelines.inspect.thumbnails import Thumbnail, make_thumbnail

MAX_CLASSES_SHOWN = 30
_PER_CLASS = 8
_MAX_GROUPS = 12
_MAX_OF_GROUP = 6
_MAX_EXTREMES = 6
_NUM_AUGMENTED = 9
_AUGMENTED_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """Images that belong together.

    Attributes:
        title: what they have in common.
        thumbnails: of them.
        note: what is to be said of them.
    """

    title: str
    thumbnails: list[Thumbnail]
    note: str = ""


def class_rows(inspection: Inspection) -> list[Row]:
    """Returns, for each class (the first of many), training images spread over the split."""
    source, usable = inspection.data.sources["train"], inspection.usable("train")
    labels = source.labels[usable]
    rows = []
    for label, name in enumerate(inspection.data.class_names[:MAX_CLASSES_SHOWN]):
        chosen = _spread(usable[labels == label], _PER_CLASS)
        examples = [Example("train", int(index)) for index in chosen]
        shown = _thumbnails(inspection, examples, naming=inspection.naming.file_name)
        rows.append(Row(printable(name), shown))
    return rows


def mean_row(inspection: Inspection) -> Row | None:
    """Returns the mean of all images, and of the first classes; None where nothing was decoded."""
    pixels = inspection.pixels
    if not pixels.num_images:
        return None
    names = inspection.data.class_names
    shown = [make_thumbnail(pixels.mean_image(), "all", f"{pixels.num_images:,} images")]
    shown += [
        make_thumbnail(image, printable(names[label]), f"{pixels.class_counts[label]:,} images")
        for label, image in pixels.class_means().items()
    ]
    return Row("Mean images", shown)


def duplicate_rows(inspection: Inspection) -> list[Row]:
    """Returns the first groups of duplicates, each image with its class and name."""
    return [_group_row(inspection, group) for group in inspection.duplicates[:_MAX_GROUPS]]


def extreme_rows(inspection: Inspection) -> list[Row]:
    """Returns the darkest and brightest images, and those of one colour."""
    if inspection.extremes is None:
        return []
    rows = []
    for title, found in (
        ("Darkest", inspection.extremes.darkest),
        ("Brightest", inspection.extremes.brightest),
        ("Of one colour", inspection.extremes.blank),
    ):
        examples = [example for example, _ in found[:_MAX_EXTREMES]]
        details = [
            _with_class(inspection.naming, example, f"mean level {level:.0f}")
            for example, level in found[:_MAX_EXTREMES]
        ]
        if examples:
            rows.append(Row(title, _thumbnails(inspection, examples, details)))
    return rows


def augmented_rows(inspection: Inspection) -> list[Row]:
    """Returns images of several classes, each as it is and nine times augmented."""
    from input_pipelines.augmentation.augment import Augmentation
    from input_pipelines.blocks import training_blocks

    usable = inspection.usable("train")
    if not inspection.augmentation or not usable.size:
        return []
    source, classes = inspection.data.sources["train"], len(inspection.data.class_names)
    augmentation = Augmentation(inspection.augmentation, classes)
    chosen = _one_of_each_class(source.labels, usable, _AUGMENTED_IMAGES)
    originals = decode_some(source, inspection.data.image_shape, chosen)
    # Of a pair that is blended, the second is another image, as it is in training.
    rows_per_image = 2 * _NUM_AUGMENTED if augmentation.mixes else _NUM_AUGMENTED
    # The draws are those of training's first steps.
    (block,) = training_blocks(
        source, None, seed=inspection.config.seed, first_step=0, last_step=len(chosen),
        global_batch_size=rows_per_image, steps_per_block=len(chosen),
        num_draws=augmentation.num_draws,
    )  # fmt: skip
    rows = []
    for number, index in enumerate(chosen):
        batch = np.repeat(originals[number : number + 1], rows_per_image, axis=0)
        if augmentation.mixes:
            others = np.delete(originals, number, axis=0) if len(originals) > 1 else originals
            batch[1::2] = np.resize(others, (_NUM_AUGMENTED, *batch.shape[1:]))
        labels = np.full(rows_per_image, source.labels[index], np.int32)
        images = augmentation(batch, labels, block["draws"][number])[0].numpy()
        shown = images[:: rows_per_image // _NUM_AUGMENTED]
        name = inspection.naming.short(Example("train", int(index)))
        thumbnails = [make_thumbnail(originals[number], "as it is")]
        thumbnails += [
            make_thumbnail(image, "", alt=f"augmented, {n}") for n, image in enumerate(shown, 1)
        ]
        rows.append(Row(name, thumbnails))
    return rows


def is_mixing(inspection: Inspection) -> bool:
    """Returns whether the augmentation blends images."""
    return any(name in MIXING for name in inspection.augmentation)


def _group_row(inspection: Inspection, group: Duplicates) -> Row:
    marks = []
    if group.different_labels:
        marks.append("different labels")
    if group.across_splits:
        marks.append("in more than one split")
    shown = group.examples[:_MAX_OF_GROUP]
    naming = inspection.naming
    details = [f"{printable(naming.class_name(example))}, {example.split}" for example in shown]
    more = len(group.examples) - len(shown)
    title = f"{len(group.examples)} times" + (f", {more} not shown" if more else "")
    return Row(title, _thumbnails(inspection, shown, details), ", ".join(marks))


def _thumbnails(
    inspection: Inspection, examples, details=None, naming: Callable[[Example], str] | None = None
) -> list[Thumbnail]:
    """Returns the examples that can be decoded, under their names."""
    name_of, found = naming or inspection.naming.short, []
    details = details or [""] * len(examples)
    pixels = {}
    for split, source in inspection.data.sources.items():
        wanted = {e.index for e in examples if e.split == split and e not in inspection.failures}
        if wanted:
            indices = np.array(sorted(wanted))
            images = decode_some(source, inspection.data.image_shape, indices)
            pixels |= {Example(split, int(index)): image for index, image in zip(indices, images)}
    for example, detail in zip(examples, details):
        if example in pixels:
            found.append(make_thumbnail(pixels[example], name_of(example), detail))
    return found


def _with_class(naming: Naming, example: Example, words: str) -> str:
    """Returns the words, after the class where the example's name does not tell it."""
    return words if naming.path(example) else f"{printable(naming.class_name(example))}, {words}"


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Returns up to `count` of the indices, at equal distances."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return indices[places]


def _one_of_each_class(labels: np.ndarray, usable: np.ndarray, count: int) -> np.ndarray:
    """Returns the first usable example of up to `count` classes that have one."""
    _, first = np.unique(labels[usable], return_index=True)
    return usable[first[:count]]
