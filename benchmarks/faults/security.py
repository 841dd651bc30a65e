"""What others made or made up: archives, downloads, runs, names; and secrets of the user's own."""

from __future__ import annotations

from benchmarks.faults import (
    _hostile_archives,
    _hostile_downloads,
    _hostile_models,
    _hostile_names,
    _hostile_runs,
    _open_ports,
    _planted_secrets,
)
from benchmarks.faults._attempt import Attempt

ID = "P16"
TITLE = "nothing from outside is executed, leaves its folder or shows a secret; no port is opened"

_PARTS = (
    _hostile_archives, _hostile_downloads, _hostile_runs, _hostile_models, _hostile_names,
    _open_ports, _planted_secrets,
)  # fmt: skip


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns the attempts of all parts; all are made on every change."""
    return [attempt for part in _PARTS for attempt in part.attempts()]
