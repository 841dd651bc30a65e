"""Files and folders that are not whole yet: each process's own, swept when it was killed."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

_HOST = platform.node()
_OURS = re.compile(rf".+\.(\d+)@{re.escape(_HOST)}\.partial")


def partial_path(path: Path) -> Path:
    """Returns where this process may write what is to become `path`."""
    return path.with_name(f"{path.name}.{os.getpid()}@{_HOST}.partial")


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Makes a folder beside `path`, for this process alone, and deletes it in the end."""
    folder = partial_path(path)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def delete_abandoned(folder: Path) -> int:
    """Deletes what killed processes of this host left behind; those of others may be alive.

    Returns:
        How many files and folders it was.
    """
    import psutil  # It would slow every usage error.

    num_deleted = 0
    for path in folder.glob("*.partial"):
        match = _OURS.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match.group(1))):
            num_deleted += 1
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return num_deleted
