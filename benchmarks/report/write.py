"""Writes the three files of a report into a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.html import render_html
from benchmarks.report.markdown import render_markdown
from benchmarks.report.spreadsheet import render_csv
from benchmarks.report.tables import read_report
from flowrate.records import write_text


def write_report(folder: str | Path, sources: Sequence[str | Path] = ()) -> list[Path]:
    """Writes report.html, report.md and report.csv; the same records give the same bytes.

    Args:
        folder: where the files go, each written whole or not at all.
        sources: the folders whose records are read; `folder` itself where none is given. Where two
            hold the same repeat of the same case and contender, that of the later one counts.

    Returns:
        The paths of the three files.

    Raises:
        ConfigError: a folder is missing or holds no results.
        DataError: a row of the records is not as it should be.
        DiskError: a file cannot be written.
    """
    folder = Path(folder)
    report = read_report([Path(source) for source in sources] or [folder])
    texts = {
        "report.html": render_html(report),
        "report.md": render_markdown(report),
        "report.csv": render_csv(report),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
