"""Writes reports of runs: `python -m trainer.report runs/mine`, or of several side by side."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import ConfigError
from flowrate.options import option
from trainer.trained.run import TrainedRun

USAGE = """Writes a page about a run, or one that sets several side by side.

    python -m trainer.report RUN_DIR               writes RUN_DIR/report.html and RUN_DIR/plots
    python -m trainer.report RUN_DIR RUN_DIR ...   writes comparison.html"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Where to write."""

    output: str | None = option(
        None, group="Report",
        help="The page; unset: report.html in the run's folder, or comparison.html here.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, ReportConfig, USAGE, _report)


def _report(config: ReportConfig, folders: list[str]) -> None:
    if not folders:
        raise ConfigError("give one run directory or more; see --help.")
    for folder in folders:
        TrainedRun.open(folder)  # Before matplotlib is imported, for an answer at once.
    from trainer.report.write import write_comparison, write_report

    output = Path(config.output).expanduser() if config.output else None
    if len(folders) == 1:
        page, _ = write_report(Path(folders[0]), output)
        print(page)
    else:
        print(write_comparison(folders, output or Path("comparison.html")))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
