"""Headers: what an image is, without decoding it; and what is no image."""

from __future__ import annotations

import contextlib
import io
import os

import pytest
from faults.tools.peak import forget_peak, peak_mebibytes, resident_mebibytes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from input_pipelines.folders.listing import list_folder
from input_pipelines.images.headers import (
    Header,
    HeaderError,
    has_wrong_suffix,
    headers_of_any_size,
    parse_header,
)
from input_pipelines.inspect.example import Example
from input_pipelines.inspect.headers import scan_headers


def encode(kind: str, mode: str = "RGB", size=(7, 5), **options) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def read(content: bytes) -> Header:
    with headers_of_any_size():
        return parse_header(io.BytesIO(content))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"),
     ("PNG", "I;16"), ("PNG", "LA"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "RGB"),
     ("WEBP", "RGB")],
)  # fmt: skip
def test_format_size_and_colours(kind, mode):
    assert read(encode(kind, mode)) == Header(kind, 7, 5, mode, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(kind, orientation):
    assert read(encode(kind, exif=turned(orientation))).orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_is_none_is_upright(orientation):
    assert read(encode("JPEG", exif=turned(orientation))).orientation == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\0" * 900, "holds zero bytes, as after"),
        (b"\n <!DOCTYPE HTML><title>404</title>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"%PDF-1.7", "is a PDF"),
        (b"PK\x03\x04", "is a ZIP archive"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript"),
        (encode("JPEG")[:15], ""),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, ""),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_what_is_no_image_is_said_in_words(content, reason):
    with pytest.raises(HeaderError) as caught:
        read(content)
    assert str(caught.value).startswith(reason)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


_WHOLE = [encode("JPEG"), encode("PNG"), encode("GIF"), encode("TIFF"), encode("WEBP")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_WHOLE), st.integers(0, 10**6), st.binary(max_size=40), st.integers(0, 99))
def test_whatever_the_bytes_there_is_a_header_or_a_reason(content, place, junk, cut):
    place %= len(content)
    odd = (content[:place] + junk + content[place + len(junk) :])[: len(content) - cut]
    with contextlib.suppress(HeaderError):
        assert read(odd).num_pixels >= 0


def test_a_bomb_is_not_decoded(photos, bomb):
    assert len(bomb) < 50_000
    (photos / "cat" / "bomb.png").write_bytes(bomb)
    forget_peak()
    before = resident_mebibytes()
    scan = scan_headers({"train": list_folder(photos)})
    assert peak_mebibytes() - before < 50
    assert scan.sizes().max() == 30


def test_pillows_own_limit_is_put_back():
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(RuntimeError), headers_of_any_size():
        raise RuntimeError
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("name", "kind", "wrong"),
    [("a.jpg", "JPEG", False), ("a.JPEG", "JPEG", False), ("a.jpg", "PNG", True),
     ("a.png", "WEBP", True), ("a.bmp", "BMP", False), ("a.tif", "PNG", False),
     ("a", "PNG", False)],
)  # fmt: skip
def test_a_suffix_of_another_format(tmp_path, name, kind, wrong):
    assert has_wrong_suffix(tmp_path / name, kind) is wrong


def test_a_folder(photos):
    (photos / "dog" / "5.png").write_bytes(encode("JPEG", exif=turned(6), size=(64, 48)))
    (photos / "dog" / "6.png").write_bytes(b"")
    (photos / "dog" / "notes.txt").write_text("no image")
    (photos / "dog" / ".hidden").write_text("no image")
    source = list_folder(photos)
    done = []
    scan = scan_headers({"train": source}, done.append)
    assert sum(done) == scan.num_files == 20
    assert scan.formats == {"PNG": 18, "JPEG": 1}
    assert scan.modes == {"RGB": 19}
    assert scan.orientations == {1: 18, 6: 1}
    assert scan.total_bytes == sum(path.stat().st_size for path in source.paths)
    assert len(scan.sizes()) == 19
    assert scan.sizes().max(axis=0).tolist() == [64, 48]
    assert scan.wrong_suffixes == [(Example("train", 15), "JPEG")]
    assert scan.others == [photos / "dog" / "notes.txt"]


def test_a_file_that_is_gone_or_is_a_pipe_has_no_header(photos):
    source = list_folder(photos)
    for index in (3, 4):
        source.paths[index].unlink()
    os.mkfifo(source.paths[4])
    scan = scan_headers({"train": source})
    assert scan.widths["train"][2:6].tolist() == [22, 0, 0, 25]
    assert scan.formats == {"PNG": 18}


def test_arrays_have_no_headers():
    from input_pipelines.loading import load_sources

    assert scan_headers(load_sources("digits").sources) is None
