"""One image file, looked at from all sides: what it holds, and whether training can use it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

from input_pipelines.images.checks import refusal
from input_pipelines.images.headers import MAX_PIXELS, HeaderError, parse_header
from input_pipelines.images.paths import problem_of

# What an image of the most pixels takes with four channels of 16 bits: no image file is larger.
_MAX_BYTES = 8 * MAX_PIXELS
_UPRIGHT = 1


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        sha256: of its bytes, in hexadecimal digits; empty where it cannot be read.
        format: as Pillow names it; empty where it is no image.
        width, height: in pixels, as stored.
        orientation: EXIF's, 1 to 8; 1 is upright.
        problem: why training cannot use it, in a few words; None where it can.
    """

    sha256: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    orientation: int = _UPRIGHT
    problem: str | None = None


def examine(path: Path) -> Contents:
    """Reads a file, and decodes it where its header does not forbid that.

    Call it within `headers_of_any_size`.
    """
    if problem := problem_of(path):  # To open a pipe would be to wait for ever.
        return Contents(problem=problem)
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            return Contents(problem=f"has {size:,} bytes, more than any image that is decoded")
        content = path.read_bytes()
    except OSError as error:
        return Contents(problem=f"cannot be read ({error.strerror or error})")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        header = parse_header(io.BytesIO(content))
    except HeaderError as error:
        return Contents(sha256, problem=str(error))
    return Contents(
        sha256, header.format, header.width, header.height, header.orientation,
        refusal(content, header),
    )  # fmt: skip
