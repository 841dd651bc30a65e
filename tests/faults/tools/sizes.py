"""How much is tried, and from which random moments: set by scripts/faults."""

from __future__ import annotations

import os
from typing import TypeVar

_Size = TypeVar("_Size")

FULL = os.environ.get("FLOWRATE_FAULTS_FULL") == "1"
SEED = int(os.environ.get("FLOWRATE_FAULTS_SEED", "0"))
# Where data sets lie that are not made on the spot: a folder for each, or all together.
DATA_DIR = os.environ.get("FLOWRATE_FAULTS_DATA")


def sized(quick: _Size, full: _Size) -> _Size:
    """Returns what every change is tried with, or all with `scripts/faults --full`."""
    return full if FULL else quick
