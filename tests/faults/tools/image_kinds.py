"""Image files of every bad and every odd kind, made on the spot from one picture.

Bad ones cannot be trained on: they are named and refused, or skipped. Odd ones can, each in the one
documented way (input_pipelines/images/examine.py).
"""

from __future__ import annotations

import functools
import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Maker = Callable[[Path, Image.Image], None]
_ORIENTATION = 0x0112


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Returns an RGB picture of (width, height) like no other: soft shapes and some noise."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), np.uint8))
    soft = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(int)
    noisy = soft + generator.integers(-12, 13, soft.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """Returns the content of an image file of a kind that Pillow knows."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rot(content: bytes, num_bytes: int = 400, seed: int = 0) -> bytes:
    """Returns the content with random bytes in its middle."""
    noise = random.Random(seed).randbytes(min(num_bytes, len(content) // 3))
    start = len(content) // 2
    return content[:start] + noise + content[start + len(noise) :]


def png_of(width: int, height: int) -> bytes:
    """Returns a whole black-and-white PNG of any size, in a thousandth of its pixels in bytes."""
    packer = zlib.compressobj(9)
    row = bytes(width // 8 + 1)
    body = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def gif_of_frames(side: int, count: int) -> bytes:
    """Returns a GIF of one pixel whose further frames say that they have side x side pixels."""
    first = encode(Image.new("P", (1, 1)), "GIF")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00"
    return first[:-1] + count * frame + b";"


@functools.cache
def _bomb() -> bytes:
    return png_of(20_000, 20_000)


def _wrong_checksum(content: bytes) -> bytes:
    end = content.rindex(b"IEND") - 8  # Within the checksum of the last chunk of pixels.
    return content[:end] + bytes([content[end] ^ 1]) + content[end + 1 :]


def _tagged(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encode(image, "JPEG", exif=exif)


def _cut(kind: str, share: float, **options) -> Callable[[Image.Image], bytes]:
    def content(image: Image.Image) -> bytes:
        whole = encode(image, kind, **options)
        return whole[: int(share * len(whole))]

    return content


def _file(make: Callable[[Image.Image], bytes]) -> Maker:
    return lambda path, image: path.write_bytes(make(image)) and None


def _fixed(content: bytes) -> Maker:
    return lambda path, image: path.write_bytes(content) and None


def _unreadable(path: Path, image: Image.Image) -> None:
    path.write_bytes(encode(image, "JPEG"))
    path.chmod(0)


# What it is -> (makes it, words of the reason that is given for it).
BAD: dict[str, tuple[Maker, str]] = {
    "JPEG cut at 10 %": (_file(_cut("JPEG", 0.1)), "cut short"),
    "JPEG cut at 50 %": (_file(_cut("JPEG", 0.5)), "cut short: truncated at"),
    "JPEG cut at 99 %": (_file(_cut("JPEG", 0.99)), "cut short: truncated at"),
    "JPEG without its end": (_file(lambda i: encode(i, "JPEG")[:-2]), "cut short: truncated at"),
    "progressive JPEG cut": (_file(_cut("JPEG", 0.6, progressive=True)), "cut short: truncated"),
    "empty": (_fixed(b""), "is empty"),
    "HTML page": (_fixed(b"<!DOCTYPE html><title>404</title>" * 30), "is an HTML page"),
    "Git LFS pointer": (
        _fixed(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "is a Git LFS pointer",
    ),
    "zero bytes": (_fixed(bytes(5000)), "holds zero bytes"),
    "text": (_fixed(b"see the other folder\n" * 9), "is text"),
    "AVIF": (_file(lambda i: encode(i, "AVIF")), "is an AVIF; training reads"),
    "TIFF": (_file(lambda i: encode(i, "TIFF")), "is a TIFF; training reads"),
    "JPEG 2000": (_file(lambda i: encode(i, "JPEG2000")), "is a JPEG2000; training reads"),
    "PNG cut": (_file(_cut("PNG", 0.5)), "cut short: truncated at"),
    "PNG without its end": (_file(lambda i: encode(i, "PNG")[:-12]), "cut short: truncated at"),
    "PNG with a wrong checksum": (
        _file(lambda i: _wrong_checksum(encode(i, "PNG"))), "wrong checksum of a chunk",
    ),
    "PNG with rot": (_file(lambda i: rot(encode(i, "PNG"))), "is damaged (wrong checksum"),
    "GIF cut": (_file(_cut("GIF", 0.5)), "cut short: truncated at"),
    "large GIF": (
        _file(lambda i: encode(Image.new("P", (5000, 5000)), "GIF")), "25 Mpx > cap 16 Mpx",
    ),
    "BMP cut": (_file(_cut("BMP", 0.5)), "cut short: truncated at"),
    "BMP with a palette": (_file(lambda i: encode(i.convert("P"), "BMP")), "is a BMP of mode P"),
    "animated WebP": (
        _file(lambda i: encode(i, "WEBP", save_all=True, append_images=[i.rotate(90)])),
        "is an animated WebP",
    ),
    "bomb of 400 Mpx": (lambda path, image: path.write_bytes(_bomb()) and None,
                        "400 Mpx > cap 64 Mpx"),
    "link to nothing": (lambda path, image: path.symlink_to("nowhere.jpg"), "is a link to nothing"),
    "pipe": (lambda path, image: os.mkfifo(path), "is no file"),
}  # fmt: skip
# For whoever is not root, who may read all.
UNREADABLE: tuple[Maker, str] = (_unreadable, "cannot be read (Permission denied)")

ODD: dict[str, Maker] = {
    "grey JPEG": _file(lambda i: encode(i.convert("L"), "JPEG")),
    "CMYK JPEG": _file(lambda i: encode(i.convert("CMYK"), "JPEG")),
    "progressive JPEG": _file(lambda i: encode(i, "JPEG", progressive=True)),
    "JPEG with more behind it": _file(lambda i: encode(i, "JPEG") + bytes(999)),
    **{
        f"JPEG turned by EXIF {number}": _file(functools.partial(_tagged, orientation=number))
        for number in range(2, 9)
    },
    "16-bit PNG": _file(
        lambda i: encode(Image.fromarray(np.asarray(i.convert("L")).astype(np.uint16) * 257), "PNG")
    ),
    "RGBA PNG": _file(lambda i: encode(i.convert("RGBA"), "PNG")),
    "palette PNG": _file(lambda i: encode(i.convert("P"), "PNG")),
    "1-bit PNG": _file(lambda i: encode(i.convert("1"), "PNG")),
    "animated GIF": _file(
        lambda i: encode(i, "GIF", save_all=True, append_images=[i.rotate(90), i.rotate(180)])
    ),
    "WebP": _file(lambda i: encode(i, "WEBP")),
    "BMP": _file(lambda i: encode(i, "BMP")),
    "32-bit BMP": _file(lambda i: encode(i.convert("RGBA"), "BMP")),
    "grey BMP": _file(lambda i: encode(i.convert("L"), "BMP")),
    "GIF with large frames behind the first": _fixed(gif_of_frames(6000, 9)),
    "1 x 1": _file(lambda i: encode(i.resize((1, 1)), "PNG")),
    "20000 x 2": _fixed(png_of(20_000, 2)),
}
