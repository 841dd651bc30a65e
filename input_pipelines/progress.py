"""How far a look at many files has come: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A bar on standard error for one stage after the other.

    Within a `with` block it is shown, where standard error is a terminal.
    """

    def __init__(self):
        self._bar: RichProgress | None = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_error) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, stage: str, total: int | None) -> None:
        """Begins a stage of `total` steps; None: nobody knows how many."""
        if self._bar:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(stage, total=total)

    def advance(self, steps: int) -> None:
        """Counts steps of the stage."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, steps)
