"""Facts as pairs of a name and a value, for the page and the terminal."""

from __future__ import annotations

import collections

import numpy as np

from flowrate.text import printable
from input_pipelines.inspect.inspection import Inspection

Facts = list[tuple[str, str]]

_MAX_KINDS = 6


def describe_data(inspection: Inspection) -> Facts:
    """Returns what the data set's file says of it, and how it is used."""
    info, config = inspection.data.info, inspection.config
    facts = [("data set", f"{config.dataset}: {info.title}")]
    if inspection.naming.root:
        facts.append(("folder", printable(inspection.naming.root)))
    facts += [(name, value) for name, value in
              (("homepage", info.homepage), ("licence", info.licence)) if value]  # fmt: skip
    facts += [
        ("images", " x ".join(map(str, inspection.data.image_shape)) + ", as training gets them"),
        ("usual model", info.default_model),
        ("augmentation", ", ".join(inspection.augmentation) or "none"),
    ]
    if not inspection.is_whole:
        facts.append(
            ("decoded", f"{inspection.pixels.num_images:,} of {inspection.counts.total:,} images, "
                        f"each class with its share (--max_images={config.max_images})")
        )  # fmt: skip
    return facts


def describe_files(inspection: Inspection) -> Facts:
    """Returns what the headers say; empty where the data set came as arrays."""
    scan = inspection.scan
    if scan is None:
        return []
    facts = [
        ("files", f"{scan.num_files:,}, {_megabytes(scan.total_bytes)}"),
        ("formats", _tally(scan.formats) or "none known"),
        ("colour modes", _tally(scan.modes) or "none known"),
    ]
    sizes = scan.sizes()
    if len(sizes):
        facts += [
            ("width", _range(sizes[:, 0], "pixels")),
            ("height", _range(sizes[:, 1], "pixels")),
            ("width / height", _range(sizes[:, 0] / sizes[:, 1])),
        ]
    turned = {key: n for key, n in scan.orientations.items() if key != 1}
    facts.append(("EXIF orientation", _tally(collections.Counter(turned)) or "all upright"))
    return facts


def describe_pixels(inspection: Inspection) -> Facts:
    """Returns mean and standard deviation of the channels, of 255 levels and of 1."""
    pixels = inspection.pixels
    if not pixels.num_images:
        return []
    return [
        ("mean", f"{_levels(pixels.mean)} of 255; {_shares(pixels.mean)} of 1"),
        ("standard deviation", f"{_levels(pixels.std)} of 255; {_shares(pixels.std)} of 1"),
        ("measured over", f"{pixels.num_images:,} images of all splits"),
    ]


def describe_speed(inspection: Inspection) -> Facts:
    """Returns what the decoded images take, where they would be kept, and how fast they come."""
    memory, rate = inspection.memory, inspection.input_rate
    facts = [
        ("decoded size", _megabytes(memory.decoded_bytes)),
        ("--cache=auto", f"{memory.cache} ({memory.reason})"),
    ]
    if rate is None:
        return [*facts, ("input rate", "not measured")]
    how = "decoding files" if rate.is_decoding else "gathering from memory"
    low, high = min(rate.images_per_second), max(rate.images_per_second)
    return [
        *facts,
        (
            "input rate",
            f"{rate.median:,.0f} images/s, {how}, without a cache (median of "
            f"{len(rate.images_per_second)} windows, {low:,.0f} to {high:,.0f}; "
            f"{rate.images:,} images)",
        ),
    ]


def _tally(counter: collections.Counter) -> str:
    """Returns `JPEG 3,670` or `6: 12`, the most frequent first."""
    common = counter.most_common(_MAX_KINDS)
    text = ", ".join(f"{name}: {count:,}" for name, count in common)
    return text + (", and others" if len(counter) > _MAX_KINDS else "")


def _range(values: np.ndarray, unit: str = "") -> str:
    low, middle, high = values.min(), np.median(values), values.max()
    if low == high:
        return f"{_figure(low)} {unit}".strip() + " in all"
    of_unit = f" {unit}" if unit else ""
    return f"{_figure(low)} to {_figure(high)}{of_unit}, median {_figure(middle)}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _levels(values: np.ndarray) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _shares(values: np.ndarray) -> str:
    return ", ".join(f"{value / 255:.4f}" for value in values)


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f} MiB"
