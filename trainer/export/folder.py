"""The folder of an export: there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flowrate.errors import ConfigError
from flowrate.records import disk_errors, sync_to_disk

RECORD_FILE = "export.json"
_REJECTED = ".rejected"


def check_output(output: Path) -> None:
    """Raises ConfigError unless what may be written is free, or holds an earlier export."""
    for path in (output, rejected(output)):
        is_free = not os.path.exists(path) or (path.is_dir() and not any(path.iterdir()))
        if not is_free and not (path / RECORD_FILE).is_file():
            raise ConfigError(
                f"--output={output}: something other than an export is in {path}; choose another "
                "folder."
            )


def rejected(path: Path) -> Path:
    """Returns where an export goes that is not good enough: never where one is looked for."""
    return path.with_name(path.name + _REJECTED)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Gives a new folder beside `path`; what is still there at the end of the block is deleted.

    Raises:
        DiskError: it cannot be made.
    """
    folder = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        made = [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # Where the export is, or another's.
            for parent in made:
                parent.rmdir()


def put_in_place(folder: Path, path: Path) -> None:
    """Brings a folder to the disk and to `path`; an earlier one there goes when this one stands.

    Raises:
        DiskError: that cannot be done; what was at `path` is still there.
    """
    earlier = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    with disk_errors(path):
        for part in (*folder.rglob("*"), folder):
            sync_to_disk(part)
        has_earlier = path.exists()
        if has_earlier:
            path.rename(earlier)
        try:
            folder.rename(path)
        except OSError:
            if has_earlier:
                earlier.rename(path)
            raise
        sync_to_disk(path.parent)
    shutil.rmtree(earlier, ignore_errors=True)


def size_bytes(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
