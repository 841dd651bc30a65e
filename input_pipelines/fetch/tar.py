"""Archives from a network, unpacked without trusting them.

Only files and folders are taken, under plain names, each once, below one folder: no links, devices
or pipes, nothing absolute, no "..". How much may come out is known before.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from flowrate.text import printable

# A header may ask for any amount of memory.
_LARGEST_READ_BYTES = 2**26
_LONGEST_NAME = 255


def extract(archive: Path, folder: Path, top: str, max_files: int, max_bytes: int) -> None:
    """Unpacks a .tar.gz whose members all lie in one folder.

    Args:
        archive: the file.
        folder: where to; `top` must not be in it yet.
        top: the name of the folder that everything lies in.
        max_files: members that it may have at most.
        max_bytes: what they may come to, unpacked.

    Raises:
        tarfile.TarError, OSError, EOFError, zlib.error: it is damaged, or holds what it must not.
    """
    seen: set[str] = set()
    for member, parts, content in _members(archive, max_bytes):
        if parts[0] != top:
            raise tarfile.ReadError(f"{printable(member.name)} does not lie in {top}")
        # Some file systems hold names apart by more than case, some do not.
        key = "/".join(parts).casefold()
        if key in seen and member.isfile():
            raise tarfile.ReadError(f"{printable(member.name)} stands twice")
        seen.add(key)
        if len(seen) > max_files:
            raise tarfile.ReadError(f"more than {max_files:,} members")
        path = folder.joinpath(*parts)
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # Exclusive: nothing that is there is written to or followed. Modes of the archive are not.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            shutil.copyfileobj(content, file)


def read_files(archive: Path, sizes: Mapping[str, int], max_bytes: int) -> dict[str, bytes]:
    """Reads some files of a .tar.gz; nothing is unpacked to the disk.

    Args:
        archive: the file.
        sizes: of each wanted file by its name, whatever folder it lies in.
        max_bytes: what all members may come to, unpacked.

    Returns:
        What was found; the contents are not longer than `sizes` says, by more than a byte.

    Raises:
        tarfile.TarError, OSError, EOFError, zlib.error: it is damaged, or holds what it must not.
    """
    found = {}
    for _, parts, content in _members(archive, max_bytes):
        if content is not None and parts[-1] in sizes:
            found[parts[-1]] = content.read(sizes[parts[-1]] + 1)
    return found


def _members(
    path: Path, max_bytes: int
) -> Iterator[tuple[tarfile.TarInfo, tuple[str, ...], IO[bytes] | None]]:
    """Yields (member, parts of its name, content or None for a folder), checked.

    To the very end, where gzip's own sum over all is compared.
    """
    total = 0
    with gzip.open(path) as stream:
        bounded = _Bounded(stream, max_bytes)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            for member in archive:
                parts = _checked_parts(member)
                total += member.size
                if total > max_bytes:
                    raise tarfile.ReadError(f"more than {max_bytes:,} bytes")
                yield member, parts, archive.extractfile(member) if member.isfile() else None
                archive.members = []  # Otherwise all are kept.
        while bounded.read(2**20):
            pass


def _checked_parts(member: tarfile.TarInfo) -> tuple[str, ...]:
    name = member.name
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise tarfile.ReadError(f"{printable(name)} is neither a file nor a folder")
    parts = tuple(name.removeprefix("./").rstrip("/").split("/"))
    is_plain = all(
        part not in ("", ".", "..") and len(os.fsencode(part)) <= _LONGEST_NAME for part in parts
    )
    if not is_plain or not name.isprintable() or "\\" in name or ":" in name:
        raise tarfile.ReadError(f"{printable(name)[:200]} is no plain name")
    return parts


class _Bounded:
    """What tarfile asks of a stream, with a limit to each read and to all of them."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int):
        self._stream = stream
        # Headers and padding come on top of the content.
        self._end = max_bytes + max_bytes // 4 + 2**20

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        content = self._stream.read(size)
        self._check(self._stream.tell())
        return content

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._end:
            raise tarfile.ReadError(f"more than {self._end:,} bytes unpacked")
