"""Files of at most 1 MiB that take as much memory as a file of their kind can."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from faults.tools.image_kinds import encode, gif_of_frames
from PIL import Image

MAX_BYTES = 2**20
# Just within the cap of 64 million pixels.
_SIDE = 8000


def png(width: int, height: int, bits: int, colour: int, *, interlaced: bool = False) -> bytes:
    """Returns a whole PNG of zeros; of `colour` 0 grey, 2 RGB, 3 palette, 6 RGBA, as PNG counts."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    packer = zlib.compressobj(9)
    passes = [(1, 1)] if not interlaced else _adam7(width, height)
    sizes = [(width, height)] if not interlaced else passes
    parts = []
    for columns, rows in sizes:
        row = bytes(1 + (columns * bits * channels + 7) // 8)
        parts += [packer.compress(row) for _ in range(rows)]
    body = b"".join([*parts, packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    palette = _chunk(b"PLTE", bytes(3 * 2)) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header) + palette + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    )  # fmt: skip


def _adam7(width: int, height: int) -> list[tuple[int, int]]:
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)]  # fmt: skip
    return [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in starts]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _flat(mode: str, width: int, height: int, kind: str, **options) -> bytes:
    return encode(Image.new(mode, (width, height)), kind, **options)


def _half_transparent(width: int, height: int) -> Image.Image:
    image = Image.new("RGBA", (width, height))
    image.paste((1, 2, 3, 255), (0, 0, width // 2, height))
    return image


def _lying_jpeg() -> bytes:
    content = bytearray(_flat("RGB", 64, 64, "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", _SIDE, _SIDE)
    return bytes(content)


def _long_comment() -> bytes:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("comment", 200_000_000 * "a", zip=True)
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


WORST: dict[str, Callable[[], bytes]] = {
    "PNG, 64 Mpx": lambda: png(_SIDE, _SIDE, 8, 2),
    "PNG, 64 Mpx, RGBA, 16 bits": lambda: png(_SIDE, _SIDE, 16, 6),
    "PNG, 64 Mpx, interlaced": lambda: png(_SIDE, _SIDE, 8, 2, interlaced=True),
    "PNG, 64 Mpx in one row": lambda: png(_SIDE * _SIDE, 1, 8, 2),
    "PNG, comment of 200 MB": _long_comment,
    "PNG, 400 Mpx": lambda: png(20_000, 20_000, 1, 0),
    "JPEG, 51 Mpx": lambda: _flat("RGB", 7100, 7200, "JPEG"),
    "JPEG, 25 Mpx, progressive": lambda: _flat(
        "RGB", 4990, 4990, "JPEG", progressive=True, subsampling=0
    ),
    "JPEG, 16 Mpx, progressive, CMYK": lambda: _flat("CMYK", 3990, 3990, "JPEG", progressive=True),
    "JPEG, a header that lies": _lying_jpeg,
    "GIF, 16 Mpx": lambda: _flat("P", 4000, 4000, "GIF"),
    "GIF, 3 Gpx in frames": lambda: gif_of_frames(60_000, 1),
    "WebP, 16 Mpx, half transparent": lambda: encode(
        _half_transparent(4000, 4000), "WEBP", lossless=True, method=0
    ),
    "TIFF, 64 Mpx": lambda: _flat("RGB", _SIDE, _SIDE, "TIFF", compression="tiff_adobe_deflate"),
    "AVIF, 16 Mpx": lambda: _flat("RGB", 4000, 4000, "AVIF", speed=10),
}
