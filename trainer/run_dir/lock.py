"""The lock of a run directory: one process at a time, its owner named, gone with the process.

The system drops the lock when its holder ends, however that comes about, so none can be stale. A
later launch of the same job takes the folder over from an earlier one that was cut off, and the
earlier one finds out before it writes.
"""

from __future__ import annotations

import dataclasses
import datetime
import fcntl
import os
import platform
from pathlib import Path
from typing import IO

from flowrate.errors import ClusterError, ConfigError
from flowrate.records import disk_errors
from trainer.run_dir.launch_id import Attempt

# In the file, between its owner and the owner's launch.
_ATTEMPT = ", "
# A longer line was not written here.
_MOST_CHARACTERS = 1024


@dataclasses.dataclass(frozen=True)
class Holder:
    """Whom a lock's file names.

    Attributes:
        owner: process, machine and time; empty where the file is.
        attempt: the launch of the run that it belongs to.
    """

    owner: str
    attempt: Attempt

    @classmethod
    def parse(cls, text: str) -> Holder:
        """Reads the first line of the file; others are ignored."""
        owner, _, attempt = text.partition("\n")[0].strip().partition(_ATTEMPT)
        return cls(owner, Attempt.parse(attempt))


class RunLock:
    """The lock of one folder.

    Args:
        folder: the run directory.
        attempt: the launch that this process belongs to.

    Attributes:
        taken_over: a line that names the earlier launch of the same job that the folder was taken
            over from; else empty.
    """

    def __init__(self, folder: Path, attempt: Attempt):
        self._folder = folder
        self._path = folder / "lock"
        self._attempt = attempt
        self._file: IO[str] | None = None
        self.taken_over = ""

    @property
    def is_held(self) -> bool:
        """Whether this process has acquired the lock."""
        return self._file is not None

    def acquire(self) -> None:
        """Locks the folder, which must exist.

        Raises:
            ConfigError: another process uses it.
            OSError: the file cannot be written, is a link, or the file system has no locks.
        """
        while self._file is None:
            self._try_to_acquire()
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        attempt = f"{_ATTEMPT}{self._attempt}" if self._attempt.job else ""
        self._file.truncate()
        self._file.write(f"pid {os.getpid()} on {platform.node()} since {now}{attempt}\n")
        self._file.flush()

    def check_held(self) -> None:
        """Checks that no later launch of the same job has taken the folder over.

        Raises:
            ClusterError: one has.
            DiskError: the folder is gone, or cannot be read.
        """
        if self._file is None:
            return
        with disk_errors(self._path):
            if self._is_at_path(self._file):
                return
            try:
                with self._open(os.O_RDONLY) as file:
                    owner = file.readline(_MOST_CHARACTERS).strip()
            except FileNotFoundError:  # Somebody has tidied up; nobody has taken it.
                self.release()
                return self.acquire()
        raise ClusterError(
            f"{self._folder} was taken over by a later start of this run ({owner}); this one "
            "leaves without writing."
        )

    def release(self) -> None:
        """Gives the folder up, so that another process may lock it."""
        if self._file:
            self._file.close()
            self._file = None

    def _try_to_acquire(self) -> None:
        file = self._open(os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                holder = Holder.parse(file.read(_MOST_CHARACTERS))
            if not holder.attempt.is_before(self._attempt):
                raise ConfigError(
                    f"--run_dir={self._folder} is in use by {holder.owner or 'another process'}; "
                    "stop it or choose another folder."
                ) from None
            # The scheduler has given the run to this process; the other is cut off, or about to
            # end. Whoever holds a file that is no longer the lock may not write.
            self.taken_over = (
                f"taken over from {holder.owner}, an earlier start of this job; it writes no more."
            )
            self._path.unlink(missing_ok=True)
            return
        if self._is_at_path(file):
            self._file = file
        else:  # Its last owner has removed it since it was opened.
            file.close()

    def _open(self, flags: int) -> IO[str]:
        # A link or a pipe that appears after the folder was checked is not followed, or waited for.
        descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        mode = "r+" if flags & os.O_RDWR else "r"
        return os.fdopen(descriptor, mode, encoding="utf-8", errors="replace")

    def _is_at_path(self, file: IO[str]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.lstat(self._path))
        except FileNotFoundError:
            return False
