"""Mistakes at the command line and in the environment, each a real process of its own.

The tables are in mistakes/: what is typed, and what must be answered. Where a mistake can be seen
without TensorFlow it must be: a package that ends the process stands in TensorFlow's place.
"""

from __future__ import annotations

import functools
import socket
from pathlib import Path

from benchmarks.faults._attempt import Attempt
from benchmarks.faults._mistaken_places import make_places
from benchmarks.faults._mistakes import read_group, titles, try_all

ID = "P5"
TITLE = "a mistake is answered by one line and the right status, at once, and leaves nothing behind"

_TABLES = ("flags", "data", "run_directories", "clusters", "commands")
_QUICK = ("data sets and models", "runs that cannot go on", "addresses with secrets in them")


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns an attempt for each group of the tables; all are made on every change."""
    return [
        Attempt(title, functools.partial(_try_group, table, title), is_quick=title in _QUICK)
        for table in _TABLES
        for title in titles(table)
    ]


def _try_group(table: str, title: str, folder: Path) -> dict[str, float]:
    root, work = folder / "places", folder / "work"
    root.mkdir()
    work.mkdir()
    with socket.create_server(("0.0.0.0", 0)) as taken:
        places = {**make_places(root), "port": str(taken.getsockname()[1])}
        return try_all(read_group(table, title, places), work, [root])
