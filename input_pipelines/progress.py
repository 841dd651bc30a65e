"""How far a look at many files has come: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A bar on standard error, where that is a terminal, for one stage after the other.

    It goes at the end of a `with` block, or with `stop`.
    """

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_error) -> None:
        self.stop()

    def start(self, stage: str, total: int | None) -> None:
        """Begins a stage of `total` steps; None: nobody knows how many."""
        console = Console(stderr=True)
        if self._bar is None and console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(),
                TimeRemainingColumn(), console=console, transient=True,
            )  # fmt: skip
            self._bar.start()
        if self._bar:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(stage, total=total)

    def advance(self, steps: int) -> None:
        """Counts steps of the stage."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, steps)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar:
            self._bar.stop()
