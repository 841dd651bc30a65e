"""What a program prints, where the disk that takes it may fill up."""

from __future__ import annotations

import errno
import io
import sys
from typing import TextIO, cast

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def survive_full_disk() -> None:
    """From now on what there is no room for is not printed; without this, print would raise.

    A job's log often lies on the disk that its run fills.
    """
    sys.stdout = _reopened(sys.stdout)
    sys.stderr = _reopened(sys.stderr)


class _Lossy(io.FileIO):
    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return len(data)


def _reopened(standard: TextIO) -> io.TextIOWrapper:
    stream = cast(io.TextIOWrapper, standard)  # The interpreter opens them so.
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
