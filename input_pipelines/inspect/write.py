"""Writes the page and the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowrate.records import write_json, write_text
from input_pipelines.inspect.inspection import Inspection
from input_pipelines.inspect.page import render_page

PAGE, RECORD = "inspect.html", "inspect.json"


def write(inspection: Inspection, record: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Writes inspect.json and inspect.html into a folder that exists.

    Returns:
        The page, and the record.

    Raises:
        DiskError: one cannot be written.
    """
    write_json(folder / RECORD, record)
    write_text(folder / PAGE, render_page(inspection))
    return folder / PAGE, folder / RECORD
