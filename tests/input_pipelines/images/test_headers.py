"""What a file that is no image really is."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from input_pipelines.images.headers import describe_kind


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    return stream.getvalue()


KINDS = {
    "nothing": (b"", "is empty"),
    "zero bytes": (bytes(9999), "zero bytes"),
    "a page": (b"\n<!DOCTYPE html><html><body>404 Not Found", "an HTML page"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer",
    ),
    "a cut JPEG": (b"\xff\xd8\xff\xe0\x00", "a damaged or cut short JPEG"),
    "a cut PNG": (b"\x89PNG\r\n", "a damaged or cut short PNG"),
    "a cut WebP": (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "a damaged or cut short WebP"),
    "HEIC": (b"\x00\x00\x00\x24ftypheic\x00", "HEIC, which cannot be read; convert it"),
    "a film": (b"\x00\x00\x00\x24ftypisom\x00", "a film or sound"),
    "a drawing": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing"),
    "a PDF": (b"%PDF-1.7\n%\xe2", "a PDF"),
    "PostScript": (b"%!PS-Adobe-3.0\n", "PostScript"),
    "gzip": (gzip.compress(b"x"), "a gzip archive"),
    "an array": (npy(), "a NumPy array"),
    "text": ("Grüße\n".encode(), "is text"),
    "long text, cut within a letter": (b"a" + "ü".encode() * 3000, "is text"),
    "anything": (b"\x01\x02\xfe\xff", "is no image"),
}


@pytest.mark.parametrize(("content", "words"), KINDS.values(), ids=KINDS.keys())
def test_what_it_really_is(tmp_path, content, words):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    assert words in describe_kind(path)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_something(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.jpg"
    path.write_bytes(content)
    assert describe_kind(path).startswith(("is ", "holds "))
