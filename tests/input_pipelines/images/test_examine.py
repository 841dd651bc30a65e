"""What is refused before training is what cannot be decoded; the rest is read."""

from __future__ import annotations

import numpy as np
import pytest
from faults.tools import image_kinds
from PIL import Image, ImageOps

from input_pipelines.images.examine import examine, too_large_in_scans
from input_pipelines.images.headers import headers_of_any_size

# Refused though they can be read: too large, moving, or palette indices taken for grey.
READ_ALL_THE_SAME = {"bomb of 400 Mpx", "large GIF", "animated WebP", "BMP with a palette"}
NO_FILES = {"link to nothing", "pipe"}


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a file of a kind, and what `examine` finds in it."""

    def make(maker):
        path = tmp_path / "image.jpg"
        maker(path, image_kinds.picture(1))
        with headers_of_any_size():
            return path, examine(path)

    return make


@pytest.fixture
def decode(tf):
    from input_pipelines.images.decode import decode

    def run(path, shape, orientation=1):
        return decode(tf.constant(str(path)), shape, orientation).numpy()

    return run


@pytest.mark.parametrize("kind", image_kinds.BAD)
def test_a_bad_file_is_refused_for_what_it_is(write, kind):
    maker, words = image_kinds.BAD[kind]
    _, found = write(maker)
    assert words in found.problem
    assert "\n" not in found.problem
    assert len(found.problem) < 130


@pytest.mark.parametrize("kind", sorted(image_kinds.BAD.keys() - NO_FILES - READ_ALL_THE_SAME))
def test_what_is_refused_cannot_be_decoded(write, decode, tf, kind):
    path, _ = write(image_kinds.BAD[kind][0])
    with pytest.raises(tf.errors.OpError):
        decode(path, (8, 8, 3))


@pytest.mark.parametrize("kind", image_kinds.ODD)
def test_an_odd_file_is_read_as_pillow_reads_it(write, decode, kind):
    path, found = write(image_kinds.ODD[kind])
    assert found.problem is None
    assert len(found.sha256) == 64
    with Image.open(path) as image:
        assert image.size == (found.width, found.height)
        upright = np.asarray(ImageOps.exif_transpose(_as_bytes(image)).convert("RGB")).astype(int)
    pixels = decode(path, upright.shape, found.orientation)
    assert pixels.shape == upright.shape
    # The two decoders round, and CMYK is no exact science.
    assert np.abs(pixels - upright).mean() < (30 if "CMYK" in kind else 2)


def _as_bytes(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_wherever_a_file_is_cut_it_is_told_or_read(tmp_path, decode, tf, kind):
    """What examine lets through is decoded."""
    whole = image_kinds.encode(image_kinds.picture(2, (40, 30)), kind)
    path = tmp_path / "image"
    told = 0
    for num_bytes in sorted({*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}):
        path.write_bytes(whole[:num_bytes])
        with headers_of_any_size():
            found = examine(path)
        told += found.problem is not None
        if found.problem is None:
            decode(path, (8, 8, 3))
        else:
            with pytest.raises(tf.errors.OpError):
                decode(path, (8, 8, 3))
    assert told >= 38


def test_a_folder_or_a_huge_file_is_no_image(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert examine(tmp_path / "x.jpg").problem == "is no file"
    with (tmp_path / "y.jpg").open("wb") as file:
        file.truncate(10**10)
    assert "has 10,000,000,000 bytes, more than" in examine(tmp_path / "y.jpg").problem


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_progressive_jpeg_is_refused_by_its_header(mode):
    """Its coefficients alone would take 200 MB and more."""
    image = Image.new(mode, (64, 48))
    for progressive in (False, True):
        content = image_kinds.encode(image, "JPEG", progressive=progressive)
        most = 16 if mode == "CMYK" else 25
        found = too_large_in_scans(most * 10**6 + 10**6, content)
        said = f"{most + 1} Mpx > cap {most} Mpx of a progressive JPEG"
        assert found == (said if progressive else None)
        assert too_large_in_scans(most * 10**6, content) is None


def test_a_sequential_jpeg_may_come_in_scans_too():
    content = bytearray(image_kinds.encode(Image.new("RGB", (64, 48)), "JPEG"))
    assert too_large_in_scans(40 * 10**6, bytes(content)) is None
    content[content.index(b"\xff\xda") + 4] = 1  # One component in the first scan.
    assert too_large_in_scans(40 * 10**6, bytes(content))


def test_a_row_longer_than_libpng_takes_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(image_kinds.png_of(1_000_001, 1))
    assert examine(tmp_path / "x").problem == "has more than 1,000,000 pixels in a row or column"
