"""Arrays by name in a file, read back without trusting it."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads what `np.savez` has written; nothing in it is executed.

    Memory is taken only for what the file really holds: a compressed member, or one whose header
    promises more than follows, could ask for any amount.

    Raises:
        OSError: it cannot be read.
        ValueError, zipfile.BadZipFile: it is not what np.savez writes, or holds Python objects.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_member(archive, member, path.stat().st_size)
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, num_bytes: int) -> None:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > num_bytes:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} is not the array its header promises")
