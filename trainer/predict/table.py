"""Predictions as a table for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rich.box
from rich.table import Table
from rich.text import Text

from flowrate.text import printable

# A table folds longer names, and cuts longer classes. Beside them stand percentages and gaps.
_MAX_FOLDED_WIDTH = 40
_MAX_CLASS_WIDTH = 24
_PERCENT_WIDTH = 14


def table_fits(
    width: int, paths: Sequence[Path], class_names: Sequence[str], num_classes: int
) -> bool:
    """Returns whether so many classes stand beside each other on a terminal of `width` columns."""
    names = [os.fspath(path) for path in paths]
    name = min(_MAX_FOLDED_WIDTH, greatest_width(_names_below(_common_folder(names), names)))
    each = min(_MAX_CLASS_WIDTH, greatest_width(class_names)) + _PERCENT_WIDTH
    return name + each * min(num_classes, len(class_names)) + len("  inverted  ") <= width


def prediction_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Returns the rows as JSON has them, one of a table each; none may have an error."""
    paths = [row["path"] for row in rows]
    folder = _common_folder(paths)
    table = Table(box=rich.box.SIMPLE_HEAD, title_justify="left", title_style="")
    table.title = Text(f"{printable(folder)}/") if folder else None
    table.add_column("image", overflow="fold")
    for place in range(len(rows[0]["predictions"])):
        name = "" if place else "shows"
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=_MAX_CLASS_WIDTH)
        table.add_column("", justify="right", no_wrap=True)
    for name, row in zip(_names_below(folder, paths), rows):
        cells = [Text(name)]
        for place, each in enumerate(row["predictions"]):
            cells += [Text(each["class"], "" if place else "bold"), Text(percent(each))]
        table.add_row(*cells, *(["inverted"] if row["inverted"] else []))
    return table


def percent(prediction: dict[str, Any]) -> str:
    """Returns a probability as `98.63 %`."""
    return f"{prediction['probability']:.2%}".replace("%", " %")


def greatest_width(texts: Iterable[str]) -> int:
    """Returns the length of the longest; 0 where there is none."""
    return max(map(len, texts), default=0)


def _common_folder(paths: list[str]) -> str:
    """Returns the folder that all paths lie in; empty where there is none, or only one path."""
    folders = {os.path.dirname(path) for path in paths}
    is_mixed = len({os.path.isabs(folder) for folder in folders}) > 1
    return "" if is_mixed or len(paths) < 2 else os.path.commonpath(folders)


def _names_below(folder: str, paths: list[str]) -> list[str]:
    return [printable(os.path.relpath(path, folder) if folder else path) for path in paths]
