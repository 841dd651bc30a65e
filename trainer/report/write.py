"""Writes the pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flowrate.drawing import Picture
from flowrate.records import disk_errors, write_text
from trainer.report.comparison import render_comparison
from trainer.report.page import answer_pictures, render_page
from trainer.report.run_record import RunRecord

FILE = "report.html"


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Writes the report of a run, into its folder where no other is given; returns the page.

    Raises:
        RunDirError: it is no run directory, or damaged.
        DiskError: the page cannot be written.
    """
    record = RunRecord.read(folder)
    return _write(output or record.trained.path / FILE, render_page(record))


def write_comparison(folders: Sequence[str], output: Path) -> Path:
    """Writes a page that sets several runs side by side; returns it.

    Raises:
        RunDirError: one is no run directory, or damaged.
        DiskError: the page cannot be written.
    """
    return _write(output, render_comparison([RunRecord.read(folder) for folder in folders]))


def pictures_of(folder: Path) -> list[Picture]:
    """Returns the pictures of what the model answered, for TensorBoard."""
    return answer_pictures(RunRecord.read(folder))


def _write(path: Path, text: str) -> Path:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
