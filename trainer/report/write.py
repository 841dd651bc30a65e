"""Writes the pages and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flowrate.records import disk_errors, write_text, written_whole
from trainer.report.curves import learning_curves
from trainer.report.page import answer_pictures, render_comparison, render_page
from trainer.report.run_record import RunRecord

FILE, PLOTS = "report.html", "plots"


def write_report(folder: Path, output: Path | None = None) -> tuple[Path, dict[str, bytes]]:
    """Writes the report of a run, and beside it, where no other place is given, its plots/NAME.png.

    Returns:
        The page, and the pictures as PNG by name; none where another place is given.

    Raises:
        RunDirError: it is no run directory, or damaged.
        DiskError: the page cannot be written.
    """
    record = RunRecord.read(folder)
    curves, answers = learning_curves(record), answer_pictures(record)
    page = _write(output or record.trained.path / FILE, render_page(record, curves, answers))
    if output:
        return page, {}
    made = {picture.name: picture.png() for picture in [*curves, *answers]}
    plots = record.trained.path / PLOTS
    with disk_errors(plots):
        plots.mkdir(exist_ok=True)
        for name, png in made.items():
            with written_whole(plots / f"{name}.png") as temporary:
                temporary.write_bytes(png)
    return page, made


def write_comparison(folders: Sequence[str], output: Path) -> Path:
    """Writes a page that sets several runs side by side; returns it.

    Raises:
        RunDirError: one is no run directory, or damaged.
        DiskError: the page cannot be written.
    """
    return _write(output, render_comparison([RunRecord.read(folder) for folder in folders]))


def _write(path: Path, text: str) -> Path:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
