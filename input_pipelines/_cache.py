"""Cache tiers: decode once, keep uint8. Which tier a data set gets, and why.

    device   decoded into RAM and copied to every device (trainer/batches.py, trainer/evaluate.py)
    memory   decoded into RAM before the first step
    disk     decoded into one file in the user's cache, then read through a memory map
    none     decoded anew every time it is read

A tier never changes the order or the values of what is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowrate.environment import available_memory_bytes
from flowrate.errors import ConfigError, DataError, DiskError
from input_pipelines import _decode
from input_pipelines._download import cache_folder
from input_pipelines._partial import delete_abandoned, partial_path
from input_pipelines._source import ArraySource, FileSource, Source

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
        free_device_bytes: of the device.

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


def apply_tier(
    source: Source,
    tier: str,
    image_shape: tuple[int, int, int],
    report: Callable[[int], None] | None = None,
) -> Source:
    """Returns the source as the tier keeps it, with images of `image_shape`.

    Raises:
        DataError: files that cannot be decoded (memory and disk), each named.
        DiskError: no room for the disk tier, or it cannot be written.
    """
    if isinstance(source, ArraySource):
        same = source.images.shape[1:] == image_shape
        return source if same else _decode.resized(source, image_shape)
    if tier in ("memory", "device"):
        images = np.empty((len(source), *image_shape), np.uint8)
        _decode.decode_into(images, source, report)
        return ArraySource(images, source.labels, source.class_names)
    if tier == "disk":
        return _on_disk(source, image_shape, report)
    return source


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"


def _on_disk(
    source: FileSource, image_shape: tuple[int, int, int], report: Callable[[int], None] | None
) -> ArraySource:
    path = cache_folder("decoded") / f"{_fingerprint(source, image_shape)}.npy"
    shape = (len(source), *image_shape)
    images = _open_cache(path, shape)
    if images is None:
        _write_cache(path, shape, source, report)
        images = _open_cache(path, shape)
        if images is None:
            raise DiskError(f"the cache {path} was written and cannot be read; check the disk.")
    return ArraySource(images, source.labels, source.class_names)


def _open_cache(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the decoded images, or None where the cache is absent or not what it should be."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _write_cache(
    path: Path,
    shape: tuple[int, ...],
    source: FileSource,
    report: Callable[[int], None] | None,
) -> None:
    # Unique per process, and published under its name only when whole: a run killed half-way
    # leaves nothing that could be taken for a cache, and two runs do not disturb each other.
    partial = partial_path(path.with_suffix(""))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        delete_abandoned(path.parent)
        _check_room(path.parent, math.prod(shape))
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, shape=shape)
        _decode.decode_into(images, source, report)
        images.flush()
        partial.rename(path)
    except OSError as error:
        raise DiskError(f"cannot write the cache {path}: {error.strerror or error}.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _fingerprint(source: FileSource, image_shape: tuple[int, int, int]) -> str:
    """Returns a name that changes with any file's path, size or time, the shape and the decoder."""
    digest = hashlib.sha256(repr((_decode.VERSION, image_shape)).encode())
    for path in source.paths:
        try:
            facts = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
        digest.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DiskError(
            f"--cache=disk needs {num_bytes:,} bytes in {folder}, {free:,} are free; "
            "use --cache=none, or set XDG_CACHE_HOME to a larger disk."
        )


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
