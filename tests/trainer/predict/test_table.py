"""Predictions as a table for a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.predict.table import _common_folder, percent, table_fits


@pytest.mark.parametrize(
    ("paths", "folder"),
    [(["a/b.png", "a/c/d.png"], "a"), (["a/b.png", "c/d.png"], ""), (["/a/b.png", "c.png"], ""),
     (["a/b.png"], ""), (["/a/b.png", "/a/c.png"], "/a"), (["a.png", "b.png"], "")],
)  # fmt: skip
def test_the_folder_above_all(paths, folder):
    assert _common_folder(paths) == folder


def test_percentages():
    assert [percent({"probability": share}) for share in (0.98634, 1.0, 4e-9)] == [
        "98.63 %", "100.00 %", "0.00 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "num_classes", "fits"),
    [(80, 3, False), (80, 2, True), (110, 3, True), (110, 9, True)],
)
def test_what_fits(width, num_classes, fits):
    paths = [Path("/a/long/folder/name", name) for name in ("a.png", "below/b.png")]
    assert table_fits(width, paths, ("daisy", "dandelion", "sunflowers"), num_classes) == fits
