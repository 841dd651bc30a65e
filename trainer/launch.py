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
from flowrate.errors import ConfigError, FlowrateError, Preempted
from flowrate.options import option
from flowrate.text import one_line
from trainer.config import MULTI_WORKER, TrainConfig, check_divides
from trainer.data_check import check_data
from trainer.distributed.process_group import ProcessGroup, Task
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

    def tasks(self) -> list[Task]:
        """Returns the processes to start."""
        return [Task("worker", index) for index in range(self.workers)]


def main(argv: Sequence[str]) -> int:
    """Runs the launcher; returns the exit status of the cause (flowrate/errors.py)."""
    try:
        own, trainers = split(argv)
        config = options.parse(LaunchConfig, own)
        if config is None:
            print(options.render_help(LaunchConfig, USAGE))
            return 0
        flags, run_dir = complete(trainers, config.workers)
        asked = options.parse(TrainConfig, ["trainer.main", *flags])
        if exit_code := check_data(asked, run_dir, _tell):
            return exit_code
        _make(run_dir)
    except Preempted as error:
        print(one_line(error), file=sys.stderr)
        return error.exit_code
    except FlowrateError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    program = ["trainer.main", *flags]
    return ProcessGroup(program, run_dir, config.tasks(), max_restarts=config.max_restarts).run()


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the launcher's words, program name first, and the trainer's."""
    if "--" not in argv:
        stray = [word for word in argv[1:] if word.lstrip("-") not in ("help", "h")]
        if stray and not any(word.startswith(("--workers", "--max_restarts")) for word in stray):
            raise ConfigError(f"{stray[0]}: give the flags of trainer.main after `--`.")
        return list(argv), []
    place = list(argv).index("--")
    return list(argv[:place]), list(argv[place + 1 :])


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
