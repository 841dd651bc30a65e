"""Transparency and depth: one meaning for each kind of file, and none for opaque ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from input_pipelines.source import FileSource

WHITE = [255, 255, 255]


def png(pixels: list[bytes], depth: int, colour: int, **chunks: bytes) -> bytes:
    """A PNG of one row; `colour` as PNG counts: 0 grey, 2 RGB, 3 palette, 4 and 6 with alpha."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    return b"\x89PNG\r\n\x1a\n" + b"".join((
        chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)),
        *(chunk(kind.encode(), content) for kind, content in chunks.items()),
        chunk(b"IDAT", zlib.compress(b"\0" + b"".join(pixels))),
        chunk(b"IEND", b""),
    ))  # fmt: skip


def saved(kind: str, pixels: list[list[int]], mode: str = "RGBA", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.array([pixels], np.uint8)).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


TWO = [[200, 100, 50, 255], [10, 20, 30, 0]]
PALETTE = {"PLTE": bytes([9, 8, 7, 200, 100, 50])}
ON_WHITE = [[200, 100, 50], WHITE]
# What it is: (content, the RGB of its two pixels).
KINDS = {
    "RGBA": (saved("PNG", TWO), ON_WHITE),
    "half": (saved("PNG", [[200, 100, 50, 128], [0, 0, 0, 51]]), [[227, 177, 152], [204] * 3]),
    "grey with alpha": (png([b"\x28\xff", b"\x28\x00"], 8, 4), [[40] * 3, WHITE]),
    "palette with alpha": (
        png([b"\x00\x01"], 8, 3, **PALETTE, tRNS=b"\0"), [WHITE, [200, 100, 50]],
    ),
    "palette of 4 bits with alpha": (
        png([b"\x01"], 4, 3, **PALETTE, tRNS=b"\0"), [WHITE, [200, 100, 50]],
    ),
    "palette of 4 bits": (png([b"\x01"], 4, 3, **PALETTE), [[9, 8, 7], [200, 100, 50]]),
    "1 bit": (png([b"\x40"], 1, 0), [[0] * 3, WHITE]),
    "1 bit, black transparent": (png([b"\x40"], 1, 0, tRNS=b"\0\0"), [WHITE, WHITE]),
    "4 bits": (png([b"\x3f"], 4, 0), [[51] * 3, WHITE]),
    "4 bits, 3 transparent": (png([b"\x3c"], 4, 0, tRNS=b"\0\3"), [WHITE, [204] * 3]),
    "16 bits": (png([b"\x12\xff", b"\x80\x00"], 16, 0), [[18] * 3, [128] * 3]),
    "16 bits, one transparent": (
        png([b"\x12\xff", b"\x12\xfe"], 16, 0, tRNS=b"\x12\xfe"), [[18] * 3, WHITE],
    ),
    "16 bits RGB": (
        png([b"\x12\xff\x80\x00\xff\xff", bytes(6)], 16, 2), [[18, 128, 255], [0] * 3],
    ),
    "16 bits grey with alpha": (
        png([b"\x28\xff\xff\xff", b"\x28\xff\x00\xff"], 16, 4), [[40] * 3, WHITE],
    ),
    "16 bits RGBA": (
        png([b"\x12\xff\x80\x00\xff\xff\xff\xff", bytes(8)], 16, 6), [[18, 128, 255], WHITE],
    ),
    "WebP": (saved("WEBP", TWO, lossless=True), ON_WHITE),
    "WebP without alpha": (saved("WEBP", TWO, "RGB", lossless=True), [TWO[0][:3], TWO[1][:3]]),
    "GIF": (saved("GIF", TWO), ON_WHITE),
    "32-bit BMP": (saved("BMP", TWO), [TWO[0][:3], TWO[1][:3]]),
}  # fmt: skip


@pytest.fixture
def decode(tf, tmp_path):
    """Returns a function: content, shape -> pixels, as training decodes many files."""
    from input_pipelines.images.decode import decode_into

    def run(content: bytes, image_shape: tuple[int, int, int]) -> np.ndarray:
        path = tmp_path / "image"
        path.write_bytes(content)
        images = np.zeros((2, *image_shape), np.uint8)
        decode_into(images, FileSource((path, path), np.array([0, 1], np.int32), ("a", "b")))
        np.testing.assert_array_equal(*images)
        return images[0]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_one_meaning(decode, kind):
    content, wanted = KINDS[kind]
    assert decode(content, (1, 2, 3))[0].tolist() == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_reads_the_same_for_files_and_nearly_for_arrays(tf, tmp_path, kind):
    from input_pipelines.images.image_file import ImageReader

    content, wanted = KINDS[kind]
    (tmp_path / "image").write_bytes(content)
    assert ImageReader((1, 2, 3), True).read(tmp_path / "image")[0].tolist() == wanted
    if kind not in ("4 bits, 3 transparent", "16 bits, one transparent"):  # Pillow overlooks it.
        found = ImageReader((1, 2, 3), False).read(tmp_path / "image")[0]
        assert np.abs(found - np.array(wanted)).max() <= 1


def test_grey_is_luminance(decode):
    assert decode(KINDS["RGBA"][0], (1, 2, 1)).ravel().tolist() == [124, 255]
    grey = np.arange(256, dtype=np.uint8)[None]
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    np.testing.assert_array_equal(decode(stream.getvalue(), (1, 256, 1))[..., 0], grey)


def test_alpha_is_laid_on_white_before_the_size_changes(decode):
    """The colour beneath what is transparent does not bleed into its neighbours."""
    rows = np.zeros((64, 64, 4), np.uint8)
    rows[:, 32:] = (0, 0, 255, 255)
    stream = io.BytesIO()
    Image.fromarray(rows).save(stream, "PNG")
    found = decode(stream.getvalue(), (9, 9, 3))
    assert (found[..., 2] == 255).all()
    assert (np.diff(found[..., 0].astype(int), axis=1) <= 0).all()


@pytest.mark.parametrize("size", [(180, 180), (64, 200), (500, 31)])
def test_an_opaque_png_has_the_pixels_it_had(tf, decode, size):
    noise = np.random.default_rng(3).integers(0, 256, (301, 233, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    wanted = tf.cast(tf.round(tf.image.resize(noise, size)), tf.uint8).numpy()
    np.testing.assert_array_equal(decode(stream.getvalue(), (*size, 3)), wanted)


def test_a_large_transparent_png_is_thinned(decode):
    """9 million pixels take no more than some bytes each, whatever is asked for."""
    image = Image.new("RGBA", (9_000, 1000), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 4500, 1000))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    found = decode(stream.getvalue(), (10, 20, 3))
    assert (found[:, :9] == (0, 0, 255)).all()
    assert (found[:, 11:] == 255).all()
