"""Archives from a network, unpacked without trusting them.

Only files and folders are taken, under plain names, each once, below one folder: no links, devices
or pipes, nothing absolute, no "..". How much may come out is known before. This is stricter than
`tarfile.data_filter`, which Python 3.10 and 3.11 have in their later releases only.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, cast

from flowrate.text import printable

# What a damaged or hostile archive raises here.
ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error)
_LONGEST_NAME = 255


def extract(archive: Path, folder: Path, top: str, max_files: int, max_bytes: int) -> None:
    """Unpacks a .tar.gz whose members all lie in one folder.

    Args:
        folder: where to; `top` must not be in it yet.
        top: the name of the folder that everything lies in.
        max_files: members that it may have at most.
        max_bytes: what they may come to, unpacked.

    Raises:
        ERRORS: it is damaged, or holds what it must not.
    """
    seen: set[str] = set()
    for name, content in _members(archive, max_bytes, max_files):
        if name.split("/")[0] != top:
            raise tarfile.ReadError(f"{printable(name)} does not lie in {top}")
        path = folder / name
        (path.parent if content else path).mkdir(parents=True, exist_ok=True)
        if content is None:
            continue
        # Some file systems hold names apart by more than case, some do not.
        if name.casefold() in seen:
            raise tarfile.ReadError(f"{printable(name)} stands twice")
        seen.add(name.casefold())
        # Exclusive: nothing that is there is written to or followed. Modes of the archive are not.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            shutil.copyfileobj(content, file)


def read_files(archive: Path, names: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """Returns the contents of the files of these names in a .tar.gz, whatever folder they lie in.

    Args:
        archive: the file; nothing is unpacked to the disk.
        names: of the files wanted.
        max_bytes: what all members may come to, unpacked.

    Raises:
        ERRORS: it is damaged, or holds what it must not.
    """
    members = ((name.split("/")[-1], content) for name, content in _members(archive, max_bytes))
    return {name: content.read() for name, content in members if content and name in names}


def _members(
    path: Path, max_bytes: int, max_files: int = 1000
) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yields (name, content, or None of a folder) of each member, checked.

    To the very end, where gzip's own sum over all is compared.
    """
    total = 0
    with gzip.open(path) as unpacked:
        stream = _Bounded(unpacked, max_bytes)
        # Of a stream, tarfile calls nothing but `read`.
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
            for number, member in enumerate(archive):
                total += member.size
                if number >= max_files:
                    raise tarfile.ReadError(f"more than {max_files:,} members")
                if total > max_bytes:
                    raise tarfile.ReadError(f"more than {max_bytes:,} bytes")
                yield _checked_name(member), archive.extractfile(member)
        while stream.read(2**20):
            pass


def _checked_name(member: tarfile.TarInfo) -> str:
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise tarfile.ReadError(f"{printable(member.name)} is neither a file nor a folder")
    name = member.name.removeprefix("./").rstrip("/")
    is_plain = name.isprintable() and not {"\\", ":"} & set(name) and all(
        part not in ("", ".", "..") and len(os.fsencode(part)) <= _LONGEST_NAME
        for part in name.split("/")
    )  # fmt: skip
    if not is_plain:
        raise tarfile.ReadError(f"{printable(name)[:200]} is no plain name")
    return name


class _Bounded:
    """A stream that ends with an error where more is unpacked than may come out."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int):
        self._stream = stream
        # Headers and padding come on top of the content.
        self._left = max_bytes + max_bytes // 4 + 2**20

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError("unpacks to more than it may")
        return content
