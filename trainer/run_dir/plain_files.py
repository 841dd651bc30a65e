"""What lies in a run directory: plain files and folders. No TensorFlow here.

A link in a run directory that others made could have files elsewhere read or overwritten; opening a
pipe waits for ever.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from flowrate.errors import RunDirError

_KINDS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
# Written, and put in place whole, but never read.
_NOT_OPENED = frozenset({"model.keras", "export"})
_CHECKPOINTS = "checkpoints"


def check_contents(run_dir: Path) -> None:
    """Checks what of a run directory is opened.

    The folder itself may be reached by a link, and so may its checkpoints: they may lie on a
    larger disk.

    Raises:
        RunDirError: something in it is neither a file nor a folder.
    """
    for entry in _entries(run_dir):
        mode = entry.stat(follow_symlinks=entry.name == _CHECKPOINTS and entry.is_dir()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = _KINDS.get(stat.S_IFMT(mode), "a device")
            raise RunDirError(
                f"{entry.path} is {kind}; a run directory holds plain files and folders. Put there "
                "what it leads to, or move the whole run directory."
            )


def _entries(run_dir: Path) -> Iterator[os.DirEntry]:
    """Yields what lies in the folder, and in its checkpoints."""
    folders = [run_dir]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if folder == run_dir and entry.name in _NOT_OPENED:
                    continue
                yield entry
                is_inside = entry.name == _CHECKPOINTS or folder != run_dir
                if is_inside and entry.is_dir():
                    folders.append(Path(entry.path))
