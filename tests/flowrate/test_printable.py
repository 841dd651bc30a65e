"""Names of files, whatever bytes they are made of, as one printable line."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.printable import printable

NAMES = {
    "as it is": (b"photos/a b [red].jpg", "photos/a b [red].jpg"),
    "other scripts": ("ромашка.png".encode(), "ромашка.png"),
    "a line break": (b"a\nb.png", "a\\nb.png"),
    "an escape sequence": (b"\x1b[31m.png", "\\x1b[31m.png"),
    "no UTF-8": (b"\xff.png", "\\xff.png"),
}


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES.keys())
def test_a_name_as_it_is_shown(name, shown):
    assert printable(os.fsdecode(name)) == shown


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_any_name_is_one_line_that_can_be_printed(name):
    shown = printable(os.fsdecode(name))
    assert shown.isprintable()
    shown.encode()
