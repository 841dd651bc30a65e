"""The headers of all files: formats, sizes, colours, and files whose names mislead."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from flowrate.environment import num_cpus
from input_pipelines.folders.tree import is_litter
from input_pipelines.images.examine import too_large
from input_pipelines.images.headers import (
    Header,
    HeaderError,
    has_wrong_suffix,
    headers_of_any_size,
    parse_header,
)
from input_pipelines.images.paths import problem_of
from input_pipelines.inspect.example import Example
from input_pipelines.source import FileSource, Source

# Files handed to the threads at once: a queue of all would be larger than what is found.
_AT_ONCE = 1024
_PREFIX_BYTES = 4096


@dataclasses.dataclass
class HeaderScan:
    """What the headers say; of a file without one, or too large to decode, width and height are 0.

    Attributes:
        num_files: of all splits.
        num_bytes: {split: int64 [N]} sizes of the files.
        prefixes: {split: uint64 [N]} a hash of how each file begins.
        widths, heights: {split: int32 [N]} in pixels.
        formats, modes, orientations: how often each occurs.
        wrong_suffixes: examples whose name says another format, and the format.
        others: files beside the images that are not used, for their suffix.
    """

    num_files: int = 0
    num_bytes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    prefixes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    widths: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    heights: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    formats: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    modes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    orientations: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong_suffixes: list[tuple[Example, str]] = dataclasses.field(default_factory=list)
    others: list[Path] = dataclasses.field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        return int(sum(sizes.sum() for sizes in self.num_bytes.values()))

    def sizes(self) -> np.ndarray:
        """Returns int32 [M, 2], width and height of every image that may be decoded."""
        pairs = [
            np.stack([self.widths[split], self.heights[split]], axis=1) for split in self.widths
        ]
        all_sizes = np.concatenate(pairs)
        return all_sizes[all_sizes[:, 0] > 0]


def scan_headers(
    sources: Mapping[str, Source], report: Callable[[int], None] = lambda _: None
) -> HeaderScan | None:
    """Reads the headers of all files, in parallel; None where the data set came as arrays.

    Args:
        sources: by split.
        report: called with the number of files done since the last call.
    """
    files = {split: each for split, each in sources.items() if isinstance(each, FileSource)}
    if not files:
        return None
    scan = HeaderScan(num_files=sum(map(len, files.values())))
    with headers_of_any_size(), concurrent.futures.ThreadPoolExecutor(2 * num_cpus()) as threads:
        for split, source in files.items():
            _scan_split(scan, split, source, threads, report)
    scan.others = _other_files(files)
    return scan


@dataclasses.dataclass(frozen=True)
class _File:
    num_bytes: int = 0
    prefix: int = 0
    header: Header | None = None


def _scan_split(scan, split: str, source: FileSource, threads, report) -> None:
    count = len(source)
    scan.num_bytes[split] = np.zeros(count, np.int64)
    scan.prefixes[split] = np.zeros(count, np.uint64)
    scan.widths[split], scan.heights[split] = np.zeros(count, np.int32), np.zeros(count, np.int32)
    for index, found in enumerate(_files_in_order(source.paths, threads)):
        scan.num_bytes[split][index], scan.prefixes[split][index] = found.num_bytes, found.prefix
        header = found.header
        if header:
            if not too_large(header.num_pixels, header.format):
                scan.widths[split][index] = header.width
                scan.heights[split][index] = header.height
            scan.formats[header.format] += 1
            scan.modes[header.mode] += 1
            scan.orientations[header.orientation] += 1
            if has_wrong_suffix(source.paths[index], header.format):
                scan.wrong_suffixes.append((Example(split, index), header.format))
        report(1)


def _files_in_order(paths: tuple[Path, ...], threads) -> Iterator[_File]:
    for first in range(0, len(paths), _AT_ONCE):
        yield from threads.map(_read, paths[first : first + _AT_ONCE])


def _read(path: Path) -> _File:
    if problem_of(path):  # To open a pipe would be to wait for ever.
        return _File()
    try:
        with path.open("rb") as file:
            num_bytes = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(file.read(_PREFIX_BYTES), digest_size=8).digest()
            read = functools.partial(_File, num_bytes, int.from_bytes(digest, "little"))
            file.seek(0)
            try:
                return read(parse_header(file))
            except HeaderError:
                return read()
    except OSError:
        return _File()


def _other_files(files: Mapping[str, FileSource]) -> list[Path]:
    """Returns the files, by name, that lie beside the images and are not used."""
    used = {path for source in files.values() for path in source.paths}
    found = []
    for folder in sorted({path.parent for path in used}):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
            found += [folder / name for name in names if not is_litter(name)]
    return [path for path in found if path not in used]
