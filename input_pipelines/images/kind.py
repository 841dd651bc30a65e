"""What a file is that cannot be read as an image, told by its first bytes."""

from __future__ import annotations

import codecs
from pathlib import Path

NUM_BYTES = 4096
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


def describe_kind(path: Path) -> str:
    """Returns `is empty`, `is an HTML page` and the like, for a file that is no whole image."""
    with path.open("rb") as file:
        return describe_beginning(file.read(NUM_BYTES))


def describe_beginning(head: bytes) -> str:
    """Returns the same, of the first NUM_BYTES of a file."""
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


def begins_as_image(head: bytes) -> bool:
    """Returns whether the first NUM_BYTES of a file are those of an image, of whatever name."""
    if head[4:8] == b"ftyp" or head[:4] == b"RIFF":
        return head[8:12] in _BRANDS
    return head.startswith(tuple(_IMAGES)) or (head.startswith(b"BM") and head[6:10] == bytes(4))


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
