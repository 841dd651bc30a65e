"""Names of files as text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from input_pipelines._printable import printable


@pytest.mark.parametrize(
    ("name", "text"),
    [("plain name.jpg", "plain name.jpg"), ("Übung/写真.png", "Übung/写真.png"),
     ("a\nb", r"a\nb"), ("\x1b[31m", r"\x1b[31m"), (os.fsdecode(b"ros\xe9"), r"ros\xe9"),
     ("right\u202eto left", r"right\u202eto left"), ("a\\n", "a\\n")],
)  # fmt: skip
def test_names(name, text):
    assert printable(name) == text
    assert printable(Path(name)) == text


@given(st.binary(max_size=30))
def test_any_bytes_become_one_line_of_valid_text(name):
    text = printable(os.fsdecode(name))
    text.encode()  # Raises where it is no valid text.
    assert len(text.splitlines()) <= 1
    assert all(each.isprintable() or each == "\xa0" for each in text)
