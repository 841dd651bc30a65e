"""The idx format of MNIST and Fashion-MNIST: a magic number, sizes, then bytes; gzip-compressed.

Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from flowrate.errors import DataError

IMAGES_MAGIC = 2051  # unsigned bytes, 3 dimensions
# The largest file there is has 47 million.
_MOST_BYTES = 2**27
LABELS_MAGIC = 2049  # unsigned bytes, 1 dimension
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Reads one gzip-compressed idx file of unsigned bytes.

    Returns:
        uint8, of the shape in its header.

    Raises:
        DataError: not gzip, cut short, another magic number, or too many or too few bytes.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except EOFError:
        raise DataError(
            f"{path}: truncated (the gzip stream ends early); fetch it again."
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file, or damaged ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path}: unpacks to more than {_MOST_BYTES:,} bytes; this is no MNIST.")
    num_dimensions = magic % 256
    header_bytes = 4 + 4 * num_dimensions
    found = struct.unpack(">i", content[:4])[0] if len(content) >= 4 else None
    if found != magic or len(content) < header_bytes:
        raise DataError(f"{path}: not an idx file of this kind: magic {found}, expected {magic}.")
    shape = struct.unpack(f">{num_dimensions}I", content[4:header_bytes])
    body = len(content) - header_bytes
    if body != math.prod(shape):
        raise DataError(
            f"{path}: the header says {list(shape)}, {math.prod(shape)} bytes, but {body} follow."
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the image and label file of a split.

    Returns:
        images uint8 [N, height, width, 1] and labels int32 [N].

    Raises:
        DataError: a file is missing, damaged, or the two disagree in number.
    """
    image_path, label_path = (folder / name for name in FILES[split])
    images = read_idx(image_path, IMAGES_MAGIC)
    labels = read_idx(label_path, LABELS_MAGIC)
    if len(images) != len(labels):
        raise DataError(
            f"{image_path} has {len(images)} images, {label_path} {len(labels)} labels."
        )
    return images[..., np.newaxis], labels.astype(np.int32)


def has_idx_files(folder: Path) -> bool:
    """Returns whether all four files lie in the folder."""
    return all((folder / name).is_file() for pair in FILES.values() for name in pair)
