"""What an image file holds, and whether training can use it; told without TensorFlow.

    format   read                                   refused, by name
    JPEG     grey, RGB, CMYK; EXIF's orientation    cut short anywhere, damaged; large in scans
    PNG      any depth, palette, alpha              cut short, damaged, a wrong checksum
    GIF      the first frame                        cut short in it
    BMP      24 and 32 bits, grey                   palettes and compression
    WebP     stills                                 animations
    others                                          all

What is transparent is laid on white. A refused file is one at which TensorFlow's decoder would
fail, or from which it would read other pixels than are meant, or which would take much memory.
Pillow decodes the rest here once, JPEG at an eighth of its size, which reads all of its bytes: so
a damaged file is known before step 1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import threading
import zlib
from pathlib import Path

from PIL import Image, ImageFile

from input_pipelines.images.headers import MAX_PIXELS, Header, HeaderError, parse_header
from input_pipelines.images.paths import problem_of

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
# Their decoders need several times the memory of the image that they give.
_MAX_PIXELS = {"GIF": 16 * 10**6, "WEBP": 16 * 10**6, "AVIF": 16 * 10**6, "JPEG2000": 16 * 10**6}
# Of a JPEG in several scans, as a progressive one, all coefficients are kept until the last: two
# bytes for each of its components. The second is for four of them.
_MAX_PIXELS_IN_SCANS = 25 * 10**6
_MAX_CMYK_PIXELS_IN_SCANS = 16 * 10**6
# Of libpng.
_MAX_PNG_SIDE = 1_000_000
# Of BMP, as Pillow's raw modes: others TensorFlow cannot read, or reads palette indices as grey.
_BMP_MODES = ("BGR", "BGRX", "BGRA", "L")
# Above this size one image is decoded at a time: a thread each would fill the memory.
LARGE_PIXELS = 16 * 10**6
one_large_image = threading.Lock()
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
        _refusal(content, header),
    )  # fmt: skip


def _refusal(content: bytes, header: Header) -> str | None:
    """Returns why training does not read a file, in a few words; None where it does."""
    if header.format not in FORMATS:
        article = "an" if header.format[0] in "AI" else "a"
        return f"is {article} {header.format}; training reads {', '.join(FORMATS)}"
    if problem := too_large(header.num_pixels, header.format):
        return problem
    if header.format == "PNG" and max(header.width, header.height) > _MAX_PNG_SIDE:
        return f"has more than {_MAX_PNG_SIDE:,} pixels in a row or column"
    if header.format == "JPEG" and (problem := too_large_in_scans(header.num_pixels, content)):
        return problem
    if header.format == "PNG" and (problem := _png_problem(content)):
        return problem
    if header.num_pixels <= LARGE_PIXELS:
        return _decoding_problem(content)
    with one_large_image:
        return _decoding_problem(content)


def too_large(num_pixels: int, image_format: str) -> str | None:
    """Returns what is said of an image of more pixels than are ever decoded; else None."""
    most = _MAX_PIXELS.get(image_format, MAX_PIXELS)
    if num_pixels <= most:
        return None
    return f"{num_pixels / 1e6:,.0f} Mpx > cap {most / 1e6:.0f} Mpx"


def too_large_in_scans(num_pixels: int, content: bytes) -> str | None:
    """Returns the same of a JPEG, by whether its image comes in several scans."""
    if num_pixels <= _MAX_CMYK_PIXELS_IN_SCANS:
        return None
    num_components, has_scans = _scans(content)
    most = _MAX_CMYK_PIXELS_IN_SCANS if num_components > 3 else _MAX_PIXELS_IN_SCANS
    if not has_scans or num_pixels <= most:
        return None
    return f"{num_pixels / 1e6:,.0f} Mpx > cap {most / 1e6:.0f} Mpx of a progressive JPEG"


def kind_problem(image: ImageFile.ImageFile) -> str | None:
    """Returns what is said of an open image of FORMATS, of a kind that is not read; else None."""
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        return "is an animated WebP; training reads stills"
    if image.format == "BMP" and (image.tile[0].args or [""])[0] not in _BMP_MODES:
        return f"is a BMP of mode {image.mode}, or compressed; save it as PNG"
    return None


def _scans(content: bytes) -> tuple[int, bool]:
    """Returns a JPEG's components, and whether they come in several scans (ITU-T T.81, B.2)."""
    position, num_components = 2, 0
    while position + 10 <= len(content) and content[position] == 0xFF:
        marker, length = (
            content[position + 1],
            int.from_bytes(content[position + 2 : position + 4], "big"),
        )
        if marker == 0xFF:  # It may be padded.
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            num_components = content[position + 9]
            if marker not in (0xC0, 0xC1, 0xC9):  # Not sequential: progressive.
                return num_components, True
        if marker == 0xDA:
            return num_components, content[position + 4] < num_components
        position += 2 + length
    return num_components, True  # As far as is known.


def _decoding_problem(content: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if problem := kind_problem(image):
                return problem
            image.draft(None, (1, 1))
            image.load()
    except Exception as error:  # Pillow's decoders let through whatever damage leads to.
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        if "truncated" in reason:
            return f"is cut short: truncated at {len(content):,} bytes"
        return f"is damaged ({reason})"
    return None


def _png_problem(content: bytes) -> str | None:
    """Checks what Pillow does not: the checksum of every chunk, up to the last."""
    position = 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            break
        if zlib.crc32(content[position + 4 : end - 4]) != int.from_bytes(
            content[end - 4 : end], "big"
        ):
            return f"is damaged (wrong checksum of a chunk at byte {position:,})"
        if kind == b"IEND":
            return None
        position = end
    return f"is cut short: truncated at {len(content):,} bytes"
