"""Trains with several processes on this machine: `scripts/launch --workers=4 -- --dataset=mnist`.

Each is `python -m trainer.main`; trainer/distributed/process_group.py looks after them. A mistake
in the flags or in the data is reported before any of them is started.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import ConfigError
from flowrate.options import option
from trainer.config import MULTI_WORKER, TrainConfig, check_divides
from trainer.data_check import check_data
from trainer.distributed.process_group import ProcessGroup
from trainer.run_dir.folder import default_name

USAGE = """Trains with several processes on this machine.

    scripts/launch --workers=N [--max_restarts=N] -- FLAGS OF trainer.main"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """What was asked of the launcher."""

    workers: int = option(
        2, group="Launch", lower_bound=1, upper_bound=64, help="Processes to train with."
    )
    max_restarts: int = option(
        3, group="Launch", lower_bound=0, upper_bound=1000,
        help="How often all begin again after one was lost.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)


def main(argv: Sequence[str]) -> int:
    """Runs the launcher; returns the exit status of the cause (flowrate/errors.py)."""
    return run_command(argv, LaunchConfig, USAGE, _launch, after_dashes="flags of trainer.main")


def _launch(config: LaunchConfig, words: list[str]) -> int:
    flags, run_dir = complete(words, config.workers)
    asked = options.parse(TrainConfig, ["trainer.main", *flags])
    assert asked is not None  # `complete` refuses --help.
    if exit_code := check_data(asked, run_dir, _tell):
        return exit_code
    _make(run_dir)
    program = ["trainer.main", *flags]
    return ProcessGroup(program, run_dir, config.workers, max_restarts=config.max_restarts).run()


def complete(flags: list[str], num_workers: int = 1) -> tuple[list[str], Path]:
    """Checks the trainer's flags; returns them with what several workers need, and the run_dir.

    Raises:
        ConfigError: the trainer would not take them, or they do not fit the launcher's.
    """
    strategy = f"--strategy={MULTI_WORKER}"
    asked = [flag for flag in flags if flag.startswith("--strategy=")]
    if others := [flag for flag in asked if flag != strategy]:
        raise ConfigError(f"{others[-1]}: several processes train with {strategy}.")
    flags = [flag for flag in flags if flag not in asked]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    if config is None:
        raise ConfigError("--help: see python -m trainer.main --help.")
    if not config.run_dir:
        flags = [*flags, f"--run_dir={default_name(config)}"]
    flags = [*flags, strategy]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    assert config is not None
    assert config.run_dir is not None
    check_divides(config, num_workers * max(1, config.virtual_devices))
    return flags, Path(config.run_dir).expanduser().absolute()


def _tell(line: str) -> None:
    print(f"[launch] {line}", flush=True)


def _make(run_dir: Path) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--run_dir={run_dir}: cannot be used: {error.strerror}; choose another folder."
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv))
