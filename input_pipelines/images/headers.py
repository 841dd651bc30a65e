"""What an image file's header says of it: format, size, colours. No pixel is decoded."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from input_pipelines.images.kind import NUM_BYTES, describe_beginning

# More than most cameras' photos: such an image takes 256 MB while it is decoded. A file of 48 kB
# can ask for gigabytes, so what is larger is refused by its header.
MAX_PIXELS = 64 * 10**6
# Others are never tried: a file that claims to be PostScript is not handed to an interpreter.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_SUFFIXES = {
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "PNG": (".png",), "GIF": (".gif",), "BMP": (".bmp",),
}  # fmt: skip
_EXIF_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        format: as Pillow names it: JPEG, PNG, GIF, BMP, WEBP, TIFF, ...
        width, height: in pixels, as stored.
        mode: colours, as Pillow names them: L, RGB, RGBA, P, CMYK, I;16, ...
        orientation: EXIF's, 1 to 8; 1 is upright.
    """

    format: str
    width: int
    height: int
    mode: str
    orientation: int

    @property
    def num_pixels(self) -> int:
        return self.width * self.height


class HeaderError(ValueError):
    """The file has no image's header; the message says what it is, in a few words."""


@contextlib.contextmanager
def headers_of_any_size() -> Iterator[None]:
    """Within the block Pillow opens images of any size: nothing is decoded, so none does harm.

    The setting is Pillow's, for the whole process; it is put back. Nor does Pillow print what it
    thinks of odd files.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def parse_header(content: io.BufferedIOBase) -> Header:
    """Reads the header of an open file; call it within `headers_of_any_size`.

    Raises:
        HeaderError: it is none, or damaged.
        OSError: the file cannot be read.
    """
    try:
        with Image.open(content, formats=_FORMATS) as image:
            width, height = image.size
            kind = "JPEG" if image.format == "MPO" else image.format
            return Header(kind, width, height, image.mode, _orientation(image))
    except Exception as error:  # Pillow's parsers raise whatever odd bytes lead them to.
        raise HeaderError(_describe(content, error)) from None


def has_wrong_suffix(path: Path, kind: str) -> bool:
    """Returns whether a file's name says that it is of another format than it is."""
    suffix = path.suffix.lower()
    claimed = [name for name, suffixes in _SUFFIXES.items() if suffix in suffixes]
    return bool(claimed) and kind not in claimed


def _orientation(image: Image.Image) -> int:
    # Only where the header holds EXIF: asking a PNG without it would decode the image.
    if "exif" not in image.info:
        return 1
    found = image.getexif().get(_EXIF_ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _describe(content: io.BufferedIOBase, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        content.seek(0)
        return describe_beginning(content.read(NUM_BYTES))
    if "truncated" in str(error).lower():
        return f"is cut short: truncated at {content.seek(0, io.SEEK_END):,} bytes"
    return f"has a damaged header ({' '.join(str(error).split())[:80]})"
