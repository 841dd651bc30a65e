"""The images of the page, decoded as training sees them; the page itself holds them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from flowrate.text import printable
from input_pipelines.inspect.decoding import image_batches
from input_pipelines.inspect.example import Example, short_name
from input_pipelines.inspect.inspection import Inspection

MAX_CLASSES_SHOWN = 30
_PER_CLASS = 8
_MAX_GROUPS, _MAX_OF_GROUP, _MAX_EXTREMES = 12, 6, 6
NUM_AUGMENTED, _AUGMENTED_IMAGES = 9, 3
# Smaller images are shown enlarged, each pixel a square.
_PIXELATED_BELOW = 65
_LARGEST_SIDE = 180
_JPEG_QUALITY = 85
_EXTREMES = {"Darkest": "darkest", "Brightest": "brightest", "Of one colour": "blank"}


class Thumbnail(NamedTuple):
    """An image for `<img src>`; a small one is shown with its pixels as squares."""

    address: str
    is_pixelated: bool


class Row(NamedTuple):
    """Images that belong together: (key of the thumbnail, caption, detail) of each."""

    title: str
    images: Sequence[tuple[Hashable, str, str]]
    note: str = ""


def make_thumbnail(pixels: np.ndarray) -> Thumbnail:
    """Returns uint8 [height, width, channels] as a thumbnail: a JPEG, or a PNG of a small image."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] < 3 else pixels[..., :3])
    is_small = max(image.size) < _PIXELATED_BELOW
    stream = io.BytesIO()
    if is_small:
        image.save(stream, "PNG", optimize=True)
    else:
        image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        image.save(stream, "JPEG", quality=_JPEG_QUALITY)
    kind = "png" if is_small else "jpeg"
    content = base64.b64encode(stream.getvalue()).decode()
    return Thumbnail(f"data:image/{kind};base64,{content}", is_small)


def collect_images(
    inspection: Inspection,
) -> tuple[dict[str, list[Row]], dict[Hashable, Thumbnail]]:
    """Returns the rows of each section, and the thumbnails of what can be decoded, by key."""
    rows = {
        "classes": _of_classes(inspection),
        "duplicates": _of_duplicates(inspection.record),
        "extremes": _of_extremes(inspection.record),
    }
    keys = {image[0] for section in rows.values() for row in section for image in row.images}
    examples = {key for key in keys if isinstance(key, Example)}  # So far they all are.
    thumbnails = _decode(inspection, examples, make_thumbnail)
    rows["augmented"] = []
    for name, images in augmented_images(inspection).items():
        numbered = [(name, number) for number in range(len(images))]
        thumbnails |= dict(zip(numbered, map(make_thumbnail, images)))
        rows["augmented"].append(Row(name, [(key, "", "") for key in numbered]))
    return rows, thumbnails


def augmented_images(inspection: Inspection) -> dict[str, list[np.ndarray]]:
    """Returns, by class, an image as it is and then augmented nine times, as training does it."""
    from input_pipelines.augmentation.augment import Augmentation
    from input_pipelines.blocks import training_blocks

    usable, names = inspection.usable["train"], inspection.record["augmentation"]
    if not names or not usable.size:
        return {}
    source, classes = inspection.data.sources["train"], len(inspection.data.class_names)
    augmentation = Augmentation(tuple(names), classes)
    _, first = np.unique(source.labels[usable], return_index=True)
    chosen = [Example("train", int(index)) for index in usable[first[:_AUGMENTED_IMAGES]]]
    decoded = _decode(inspection, set(chosen), np.copy)
    originals = np.stack([decoded[example] for example in chosen])
    # An image is blended with another one, as in training.
    rows_per_image = 2 * NUM_AUGMENTED if augmentation.mixes else NUM_AUGMENTED
    # The draws are those of training's first steps.
    (block,) = training_blocks(
        source, None, seed=inspection.seed, first_step=0, last_step=len(chosen),
        global_batch_size=rows_per_image, steps_per_block=len(chosen),
        num_draws=augmentation.num_draws,
    )  # fmt: skip
    found = {}
    for number, example in enumerate(chosen):
        batch = np.repeat(originals[number : number + 1], rows_per_image, axis=0)
        if augmentation.mixes:
            others = np.delete(originals, number, axis=0) if len(originals) > 1 else originals
            batch[1::2] = np.resize(others, (NUM_AUGMENTED, *batch.shape[1:]))
        label = source.labels[example.index]
        labels = np.full(rows_per_image, label, np.int32)
        images = augmentation(batch, labels, block["draws"][number])[0].numpy()
        shown = [originals[number], *images[:: rows_per_image // NUM_AUGMENTED]]
        found[printable(source.class_names[label])] = shown
    return found


def _of_classes(inspection: Inspection) -> list[Row]:
    """Returns, for each class (the first of many), training images spread over the split."""
    source, usable = inspection.data.sources["train"], inspection.usable["train"]
    labels, paths = source.labels[usable], getattr(source, "paths", None)
    rows = []
    for label, name in enumerate(inspection.data.class_names[:MAX_CLASSES_SHOWN]):
        members = usable[labels == label]
        places = np.linspace(0, len(members) - 1, min(_PER_CLASS, len(members))).round()
        images = [
            (
                Example("train", index),
                printable(Path(paths[index]).name) if paths else str(index),
                "",
            )
            for index in members[places.astype(int)].tolist()
        ]
        rows.append(Row(printable(name), images))
    return rows


def _of_duplicates(record: Mapping[str, Any]) -> list[Row]:
    rows = []
    for group in record["duplicates"]["listed"][:_MAX_GROUPS]:
        marks = ["different labels"] * group["different_labels"]
        marks += ["in more than one split"] * group["across_splits"]
        more = len(group["examples"]) - _MAX_OF_GROUP
        title = f"{len(group['examples'])} times" + (f", {more} not shown" if more > 0 else "")
        images = [_image(record, each, each["split"]) for each in group["examples"][:_MAX_OF_GROUP]]
        rows.append(Row(title, images, ", ".join(marks)))
    return rows


def _of_extremes(record: Mapping[str, Any]) -> list[Row]:
    return [
        Row(
            title,
            [
                _image(record, each, f"level {each['brightness']:.0f}")
                for each in found[:_MAX_EXTREMES]
            ],
        )
        for title, name in _EXTREMES.items()
        if (found := record["brightness"][name])
    ]


def _image(record: Mapping[str, Any], described: Mapping[str, Any], detail: str):
    """Returns an image of a row: its key, its name, its class with a detail."""
    place = Example(described["split"], described["index"])
    name = short_name(described, record["folder"])
    return place, name, f"{printable(described['class'])}, {detail}"


def _decode(
    inspection: Inspection, examples: set[Example], keep: Callable[[np.ndarray], Any]
) -> dict[Hashable, Any]:
    """Returns `keep(image)` of the examples that can be decoded."""
    found: dict[Hashable, Any] = {}
    for split, source in inspection.data.sources.items():
        wanted = np.array(sorted(each.index for each in examples if each.split == split), np.int64)
        wanted = np.intersect1d(wanted, inspection.usable[split])
        for batch, images in image_batches(source, inspection.data.image_shape, wanted, []):
            for index, image in zip(batch.tolist(), images):
                found[Example(split, index)] = keep(image)
    return found
