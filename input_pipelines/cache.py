"""Cache tiers: decode once, keep uint8. Which tier a data set gets, and why.

    device   decoded into RAM and copied to every device (trainer/engine/batches.py)
    memory   decoded into RAM before the first step
    disk     decoded into one file in the user's cache, then read through a memory map
    none     decoded anew every time it is read

A tier never changes the order or the values of what is read.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, overload

import numpy as np

from flowrate.environment import available_memory_bytes
from flowrate.errors import ConfigError
from input_pipelines.disk_cache import on_disk
from input_pipelines.fetch.download import cache_folder
from input_pipelines.images import decode as _decode
from input_pipelines.source import ArraySource, Source

# `auto` uses at most this share of what is free now: the rest is for the model and for others.
MAX_SHARE_OF_FREE_MEMORY = 0.5
MAX_SHARE_OF_FREE_DISK = 0.5
MAX_SHARE_OF_FREE_DEVICE_MEMORY = 0.25


@dataclasses.dataclass(frozen=True)
class TierChoice:
    """A cache tier and the reason for it, in words."""

    tier: str
    reason: str


def choose_tier(
    asked: str, num_bytes: int, is_decoded: bool, *, device_bytes: int, free_device_bytes: int
) -> TierChoice:
    """Chooses where decoded images are kept.

    Args:
        asked: auto, none, memory, disk or device.
        num_bytes: what all images take when decoded.
        is_decoded: whether the data set came as arrays; it then is in memory already.
        device_bytes: what all images take on a device, with all copies that share its memory.

    Raises:
        ConfigError: `--cache=device` and the images do not fit.
    """
    free_memory = available_memory_bytes()
    on_device = f"{_mib(device_bytes)} decoded, {_mib(free_device_bytes)} free on the device"
    if asked == "device":
        if device_bytes > free_device_bytes:
            raise ConfigError(f"--cache=device: {on_device}; use --cache=memory or --cache=auto.")
        return TierChoice("device", "--cache=device")
    fits_memory = is_decoded or num_bytes <= MAX_SHARE_OF_FREE_MEMORY * free_memory
    fits_device = device_bytes <= MAX_SHARE_OF_FREE_DEVICE_MEMORY * free_device_bytes
    if asked == "auto" and fits_memory and fits_device:
        return TierChoice("device", on_device)
    if is_decoded:
        return TierChoice("memory", "the data set comes decoded")
    if asked != "auto":
        return TierChoice(asked, f"--cache={asked}")
    size = f"{_mib(num_bytes)} decoded"
    if fits_memory:
        return TierChoice("memory", f"{size}, {_mib(free_memory)} of memory free")
    free_disk = shutil.disk_usage(_existing_parent(cache_folder())).free
    if num_bytes <= MAX_SHARE_OF_FREE_DISK * free_disk:
        return TierChoice("disk", f"{size}: too much for memory, not for the disk")
    return TierChoice("none", f"{size}: too much for memory and disk")


@overload
def apply_tier(
    source: Source,
    tier: Literal["memory"],
    image_shape: tuple[int, int, int],
    tell: Callable[[str], None] = ...,
) -> ArraySource: ...


@overload
def apply_tier(
    source: Source, tier: str, image_shape: tuple[int, int, int], tell: Callable[[str], None] = ...
) -> Source: ...


def apply_tier(
    source: Source,
    tier: str,
    image_shape: tuple[int, int, int],
    tell: Callable[[str], None] = lambda _: None,
) -> Source:
    """Returns the source as the tier keeps it, with images of `image_shape`.

    Args:
        source: N examples.
        tier: as choose_tier gives it.
        image_shape: (height, width, channels).
        tell: is told why a cache on the disk is made anew.

    Raises:
        DataError: files that cannot be decoded (memory and disk), each named.
        DiskError: no room for the disk tier, or it cannot be written.
    """
    if isinstance(source, ArraySource):
        same = source.images.shape[1:] == image_shape
        return source if same else _decode.resized(source, image_shape)
    if tier in ("memory", "device"):
        images = np.empty((len(source), *image_shape), np.uint8)
        _decode.decode_into(images, source)
        return ArraySource(images, source.labels, source.class_names)
    if tier == "disk":
        return on_disk(source, image_shape, tell)
    return source


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
