"""The figures of a record as pairs of a name and a value, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_KINDS = 6

Record = Mapping[str, Any]
Facts = list[tuple[str, str]]


def describe(record: Record) -> dict[str, Facts]:
    """Returns the facts by section: data, files (empty for arrays), pixels and speed."""
    return {
        "data": _describe_data(record),
        "files": _describe_files(record["files"]) if record["files"] else [],
        "pixels": _describe_pixels(record["pixels"]),
        "speed": _describe_speed(record),
    }


def _describe_data(record: Record) -> Facts:
    facts = [
        ("folder", record["folder"] or "none: arrays"),
        ("licence", record["licence"]),
        ("images", f"{' x '.join(map(str, record['image_shape']))}, as training gets them"),
        ("augmentation", ", ".join(record["augmentation"]) or "none"),
    ]
    if not record["is_whole"]:
        decoded = (
            f"{record['decoded']:,} of {record['examples']:,} images, each class with its share"
        )
        facts.append(("decoded", f"{decoded} (--max_images)"))
    return facts


def _describe_files(files: Mapping[str, Any]) -> Facts:
    turned = {key: count for key, count in files["exif_orientations"].items() if key != "1"}
    facts = [
        ("files", f"{files['count']:,}, {_megabytes(files['bytes'])}"),
        ("formats", _tally(files["formats"]) or "none known"),
        ("EXIF orientation", _tally(turned) or "all upright"),
    ]
    if files["width"]:
        facts += [
            ("width", _range(files["width"], " pixels")),
            ("height", _range(files["height"], " pixels")),
            ("width / height", _range(files["aspect_ratio"], "")),
        ]
    return facts


def _describe_pixels(pixels: Mapping[str, Any]) -> Facts:
    if not pixels["images"]:
        return []
    rows = (("mean", pixels["mean"]), ("standard deviation", pixels["std"]))
    facts = [
        (name, f"{', '.join(f'{value:.1f}' for value in values)} of 255; "
         f"{', '.join(f'{value / 255:.4f}' for value in values)} of 1")
        for name, values in rows
    ]  # fmt: skip
    return [*facts, ("measured over", f"{pixels['images']:,} images of all splits")]


def _describe_speed(record: Record) -> Facts:
    memory, rate = record["memory"], record["input_rate"]
    speed = "not measured"
    if rate:
        how = "decoding files" if rate["is_decoding"] else "gathering from memory"
        speed = (
            f"{rate['images_per_second']:,.0f} images/s, {how}, without a cache (median of "
            f"{len(rate['windows'])} windows, {rate['lowest']:,.0f} to {rate['highest']:,.0f})"
        )
    return [
        ("decoded size", _megabytes(memory["decoded_bytes"])),
        ("--cache=auto", f"{memory['cache']} ({memory['reason']})"),
        ("input rate", speed),
    ]


def _tally(counts: Mapping[str, int]) -> str:
    """Returns `JPEG: 3,670` or `6: 12`, in the order given."""
    text = ", ".join(f"{name}: {count:,}" for name, count in list(counts.items())[:_MAX_KINDS])
    return text + (", and others" if len(counts) > _MAX_KINDS else "")


def _range(values: Mapping[str, float], unit: str) -> str:
    low, middle, high = (
        f"{value:,.0f}" if value == round(value) else f"{value:,.2f}" for value in values.values()
    )
    return f"{low}{unit} in all" if low == high else f"{low} to {high}{unit}, median {middle}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f} MiB"
