"""Decoded images in one file of the user's cache: whole and unchanged, or made anew.

    an array file as NumPy writes it, uint8 [N, height, width, channels], and behind it
    a CRC-32 of each 64 MiB of the array, uint32, as little endian

Its name changes with every file's path, size or time, with the shape and with the decoder, so that
no stale one is found. It is published under its name when it is whole: a process killed half-way
leaves nothing that could be taken for a cache, and several may read and write at once. When it is
opened all of it is read and the sums are compared: 300 MB take 0.1 s.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flowrate.environment import num_cpus
from flowrate.errors import DataError, DiskError
from flowrate.text import printable
from input_pipelines.fetch.download import cache_folder
from input_pipelines.fetch.partial import delete_abandoned, partial_path
from input_pipelines.images import decode as _decode
from input_pipelines.source import ArraySource, FileSource

_CHUNK_BYTES = 64 * 2**20
Tell = Callable[[str], None]


def on_disk(source: FileSource, image_shape: tuple[int, int, int], tell: Tell) -> ArraySource:
    """Returns the source decoded, its images a memory map; decodes where there is no whole cache.

    Raises:
        DataError: files that cannot be decoded, each named.
        DiskError: no room, or the cache cannot be written.
    """
    path = cache_folder("decoded") / f"{_fingerprint(source, image_shape)}.npy"
    shape = (len(source), *image_shape)
    images = _open(path, shape, tell)
    if images is None:
        _write(path, shape, source, tell)
        images = _open(path, shape, tell)
        if images is None:
            raise DiskError(f"the cache {path} was written and cannot be read; check the disk.")
    return ArraySource(images, source.labels, source.class_names)


def _open(path: Path, shape: tuple[int, ...], tell: Tell) -> np.ndarray | None:
    """Returns the decoded images, or None where the cache is absent or not what it should be."""
    if not path.exists():
        return None
    problem = "is cut short, or of other data"
    with contextlib.suppress(OSError, ValueError, EOFError):
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if images.shape == shape and images.dtype == np.uint8:
            with path.open("rb") as file:
                file.seek(images.offset + images.nbytes)
                sums = file.read()
            if sums == _checksums(images):
                return images
            problem = "has other checksums than it was written with"
    tell(f"{printable(path)}: the cache of decoded images {problem}; it is made anew.")
    return None


def _write(path: Path, shape: tuple[int, ...], source: FileSource, tell: Tell) -> None:
    partial = partial_path(path.with_suffix(""))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if delete_abandoned(path.parent):
            tell(f"{printable(path.parent)}: a cache that was left half made is deleted.")
        _check_room(path.parent, math.prod(shape))
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, shape=shape)
        # The room is taken now: a disk that is full by then would kill whoever writes to the map.
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, images.offset + images.nbytes)
        _decode.decode_into(images, source)
        images.flush()
        with partial.open("ab") as file:
            file.write(_checksums(images))
        partial.rename(path)
    except OSError as error:
        raise DiskError(f"cannot write the cache {path}: {error.strerror or error}.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _checksums(images: np.ndarray) -> bytes:
    """Returns the CRC-32 of each 64 MiB, computed in threads."""
    flat = images.reshape(-1)
    chunks = (flat[i : i + _CHUNK_BYTES] for i in range(0, len(flat), _CHUNK_BYTES))
    with ThreadPoolExecutor(num_cpus()) as threads:
        return np.array(list(threads.map(zlib.crc32, chunks)), "<u4").tobytes()


def _fingerprint(source: FileSource, image_shape: tuple[int, int, int]) -> str:
    """Returns a name that changes with any file's path, size or time, the shape and the decoder."""
    digest = hashlib.sha256(repr((_decode.VERSION, image_shape)).encode())
    for path, orientation in zip(source.paths, source.orientations):
        try:
            facts = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
        digest.update(os.fsencode(path.resolve()))
        digest.update(f"\0{facts.st_size}\0{facts.st_mtime_ns}\0{orientation}\n".encode())
    return digest.hexdigest()[:32]


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DiskError(
            f"--cache=disk needs {num_bytes:,} bytes in {folder}, {free:,} are free; "
            "use --cache=none, or set XDG_CACHE_HOME to a larger disk."
        )
