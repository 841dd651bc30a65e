"""The flags of the doctor, and what it does with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import ConfigError, UnfitMachineError
from flowrate.options import option
from flowrate.records import to_json
from input_pipelines.fetch.download import existing_folder
from trainer.doctor import diagnosis, table

USAGE = """Says whether this machine can train, and what to do where it cannot.

    python -m trainer.doctor [--flag=value ...]"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """What to look at, and how to say it."""

    json: bool = option(False, group="Doctor", help="Print one JSON object in place of the table.")
    probe: str = option(
        "quick", group="Doctor", choices=diagnosis.PROBES,
        help="Trainings of five steps: quick, one for each strategy; full, each strategy with each "
        "precision, with and without XLA.",
    )  # fmt: skip
    data_dir: str | None = option(
        None, group="Doctor", help="Where to look for data sets before the usual places."
    )
    probe_timeout: int = option(
        300, group="Doctor", lower_bound=1, upper_bound=86_400,
        help="Seconds that one training may take.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)


def run(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, DoctorConfig, USAGE, _look)


def _look(config: DoctorConfig, words: list[str]) -> None:
    if words:
        raise ConfigError(f"{words[0]!r} stands alone; write every flag as --name=value.")
    data_dir = Path(config.data_dir).expanduser().absolute() if config.data_dir else None
    existing_folder(data_dir, "")
    checks = diagnosis.look(config.probe, data_dir, config.probe_timeout)
    found = list(checks) if config.json else table.show(checks)
    if config.json:
        print(to_json(diagnosis.to_json(found)), end="")
    if failures := diagnosis.describe_failures(found):
        raise UnfitMachineError(failures)
