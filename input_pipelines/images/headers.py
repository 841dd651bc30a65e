"""What a file says of itself by its first bytes: format, size, colours; or what else it is.

No pixel is decoded.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

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
_NUM_BYTES = 4096
_LFS = b"version https://git-lfs.github.com/spec/"
# What image files begin with: such a file is an image, and damaged.
_IMAGES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
# The brand of a file of boxes (ISO 14496-12) and of RIFF, from byte 8 on.
_BRANDS = {
    b"WEBP": "a damaged or cut short WebP",
    b"avif": "a damaged AVIF, or one that this Pillow cannot read",
    b"avis": "a damaged AVIF, or one that this Pillow cannot read",
    b"heic": "HEIC, which cannot be read; convert it to JPEG",
    b"heix": "HEIC, which cannot be read; convert it to JPEG",
    b"mif1": "HEIF, which cannot be read; convert it to JPEG",
    b"jxl ": "JPEG XL, which cannot be read; convert it to JPEG",
}
_OTHERS = {
    b"%PDF-": "a PDF",
    b"%!PS": "PostScript",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"8BPS": "a Photoshop file",
}


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


def parse_header(content: IO[bytes]) -> Header:
    """Reads the header of an open file; call it within `headers_of_any_size`.

    Raises:
        HeaderError: it is none, or damaged.
        OSError: the file cannot be read.
    """
    try:
        with Image.open(content, formats=_FORMATS) as image:
            width, height = image.size
            kind = "JPEG" if image.format == "MPO" else image.format
            return Header(kind, width, height, image.mode, orientation_of(image))
    except Exception as error:  # Pillow's parsers raise whatever odd bytes lead them to.
        raise HeaderError(_describe(content, error)) from None


def has_wrong_suffix(path: Path, kind: str) -> bool:
    """Returns whether a file's name says that it is of another format than it is."""
    suffix = path.suffix.lower()
    claimed = [name for name, suffixes in _SUFFIXES.items() if suffix in suffixes]
    return bool(claimed) and kind not in claimed


def orientation_of(image: Image.Image) -> int:
    """Returns EXIF's orientation, 1 to 8; 1, upright, where there is none or it is damaged."""
    # Only where the header holds EXIF: asking a PNG without it would decode the image.
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        found = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # Pillow's parsers raise whatever odd bytes lead them to.
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _describe(content: IO[bytes], error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        content.seek(0)
        return _describe_beginning(content.read(_NUM_BYTES))
    if "truncated" in str(error).lower():
        return f"is cut short: truncated at {content.seek(0, io.SEEK_END):,} bytes"
    return f"has a damaged header ({' '.join(str(error).split())[:80]})"


def describe_kind(path: Path) -> str:
    """Returns `is empty`, `is an HTML page` and the like, for a file that is no whole image."""
    with path.open("rb") as file:
        return _describe_beginning(file.read(_NUM_BYTES))


def _describe_beginning(head: bytes) -> str:
    """Returns the same, of the first _NUM_BYTES of a file."""
    if not head:
        return "is empty"
    if not head.strip(b"\x00"):
        return "holds zero bytes, as after a lost connection or a crash"
    for magic, name in _IMAGES.items():
        if head.startswith(magic):
            return f"is a damaged or cut short {name}"
    if head.startswith(b"BM") and head[6:10] == bytes(4):  # Text may begin with BM too.
        return "is a damaged or cut short BMP"
    if head[4:8] == b"ftyp" or head[:4] == b"RIFF":
        return f"is {_BRANDS.get(head[8:12], 'a film or sound')}"
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return f"is {name}"
    return _describe_text(head)


def _describe_text(head: bytes) -> str:
    if head.startswith(_LFS):
        return "is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start and start.startswith(b"<"):
        return "is an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "is an HTML page"
    if start.startswith(b"<?xml"):
        return "is XML"
    try:
        # A letter that the last byte read cuts in two is waited for.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "is no image"
    return "is text" if all(c.isprintable() or c.isspace() for c in text) else "is no image"
