"""A job: what it runs, where its files are, and the record of what was submitted.

RUN_DIR/job.sh (or job.yaml)   the job file, readable, as the cluster got it
RUN_DIR/job.json               which job of which cluster that became
RUN_DIR/logs/                  what the workers print
RUN_DIR/000-NAME=VALUE/        of a sweep: a run directory for each combination
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrate import options
from flowrate.environment import CHECKOUT
from flowrate.errors import ConfigError, FlowrateError, RunDirError
from flowrate.records import disk_errors, read_json, write_json, write_text
from flowrate.text import masked, masked_values
from trainer.config import TrainConfig, check_divides
from trainer.run_dir.folder import default_name
from trainer.submit.config import SubmitConfig
from trainer.submit.sweep import combinations, folder_name

SCHEMA_VERSION = 1
TRAINER, BENCHMARKS = "trainer.main", "benchmarks.main"
_STRATEGY = "--strategy=multi_worker_mirrored"


@dataclasses.dataclass(frozen=True)
class Task:
    """One run of a job.

    Attributes:
        run_dir: where it writes.
        flags: what its program is given, `--run_dir` included.
        combination: of a sweep, what is its own.
    """

    run_dir: Path
    flags: tuple[str, ...]
    combination: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job:
    """What is submitted.

    Attributes:
        config: what is asked of the cluster.
        module: the program: trainer.main or benchmarks.main.
        folder: where the job's files lie; the run directory, unless this is a sweep.
        tasks: its runs; several in a sweep.
        directory: where it was submitted, which relative paths in flags start from.

    Raises (on construction):
        ConfigError: a name of a folder would break a job file.
    """

    config: SubmitConfig
    module: str
    folder: Path
    tasks: tuple[Task, ...]
    directory: Path

    def __post_init__(self):
        for path in (self.folder, self.directory):
            if not str(path).isprintable():  # A job file names both, also in a comment.
                raise ConfigError(f"{str(path)!r}: has a line break or another control character.")

    @property
    def name(self) -> str:
        """A name that every cluster takes: letters, digits, dots and dashes."""
        name = re.sub(r"[^a-z0-9.]+", "-", self.folder.name.lower()).strip("-.")
        return f"flowrate-{name}"[:52].rstrip("-.")

    @property
    def is_sweep(self) -> bool:
        return bool(self.config.sweep)

    @property
    def max_restarts(self) -> int:
        """How often all workers begin again; benchmarks never do."""
        return 0 if self.module == BENCHMARKS else self.config.max_restarts

    def write_file(self, name: str, text: str) -> Path:
        """Writes a file of the job into its folder, which is made, and returns its path."""
        with disk_errors(self.folder):
            # Without it Slurm fails, silently.
            (self.folder / "logs").mkdir(parents=True, exist_ok=True)
            for task in self.tasks if self.is_sweep else ():
                (task.run_dir / "logs").mkdir(parents=True, exist_ok=True)
        for task in self.tasks if self.is_sweep else ():
            write_text(task.run_dir / "flags", "".join(f"{flag}\n" for flag in task.flags))
        write_text(self.folder / name, text)
        return self.folder / name

    def write_record(self, job_id: str, command: Sequence[str]) -> None:
        """Notes in job.json what the cluster made of it."""
        record = {
            "schema_version": SCHEMA_VERSION,
            "cluster": self.config.cluster,
            "job_id": job_id,
            "name": self.name,
            "namespace": self.config.namespace,
            "tasks": [
                {"run_dir": str(task.run_dir), "combination": task.combination}
                for task in self.tasks
            ],
            "submitted_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": masked_values(list(command)),
        }
        write_json(self.folder / "job.json", record)


def plan_job(config: SubmitConfig, words: Sequence[str], directory: Path) -> Job:
    """Checks the program's flags and returns the job.

    Args:
        config: what is asked of the cluster.
        words: the program's, after `--`; the trainer's flags, or `benchmarks.main run ...`.
        directory: that relative paths start from.

    Raises:
        ConfigError: the program would not take the flags.
    """
    for word in words:
        if not word.isprintable():
            raise ConfigError(f"{word!r}: has a line break or another character of control.")
        if masked(word) != word:
            raise ConfigError(
                f"{word}: holds a secret, which a job file would show to others; give it to the "
                "job by the cluster's own means."
            )
    if words and words[0] == BENCHMARKS:
        return _benchmark_job(config, words[1:], directory)
    if words and words[0] == TRAINER:
        words = words[1:]
    for word in words:
        if not word.startswith("--"):  # Of `--run_dir x` only the first half would be seen below.
            raise ConfigError(f"{word!r} stands alone; write every flag as --name=value.")
    several = config.num_workers > 1
    flags = [*_without_strategy(words), _STRATEGY] if several else list(words)
    asked = options.parse(TrainConfig, [TRAINER, *_without_run_dir(flags), "--run_dir=unused"])
    if asked is None:
        raise ConfigError("--help: see python -m trainer.main --help.")
    gpus = max(1, config.gpus_per_node // config.tasks_per_node)
    check_divides(asked, config.num_workers * max(gpus, asked.virtual_devices))
    given = [flag.partition("=")[2] for flag in flags if flag.startswith("--run_dir=")]
    folder = (directory / Path((given or [default_name(asked)])[-1]).expanduser()).absolute()
    flags = _without_run_dir(flags)
    known = [field.name for field, _, _ in options.described_fields(TrainConfig)]
    tasks = []
    for number, combination in enumerate(combinations(config.sweep, known)):
        run_dir = folder / folder_name(number, combination) if combination else folder
        own = [f"--{name}={value}" for name, value in combination.items()]
        complete = (*flags, *own, f"--run_dir={run_dir}")
        options.parse(TrainConfig, [TRAINER, *complete])
        tasks.append(Task(run_dir, complete, combination))
    return Job(config, TRAINER, folder, tuple(tasks), directory)


def read_record(folder: Path) -> dict[str, Any]:
    """Reads job.json of a run directory.

    Raises:
        RunDirError: nothing was submitted from there, or the record is damaged.
    """
    path = folder / "job.json"
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise RunDirError(
            f"{folder}: no job was submitted for it; {path.name} is missing."
        ) from None
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path} is damaged ({error}).") from None
    wanted = {"cluster": str, "job_id": str, "name": str, "namespace": str, "tasks": list}
    if not isinstance(record, dict) or any(
        not isinstance(record.get(name), kind) for name, kind in wanted.items()
    ):
        raise RunDirError(f"{path} is damaged: {', '.join(wanted)} are needed.")
    return record


def _benchmark_job(config: SubmitConfig, words: Sequence[str], directory: Path) -> Job:
    if config.num_workers > 1:
        raise ConfigError("benchmarks start their own processes: give --nodes=1.")
    if config.sweep:
        raise ConfigError("--sweep: is for training; the suites have their own cases.")
    # The program itself checks its flags: the trainer does not know the benchmarks.
    checked = subprocess.run(
        [sys.executable, "-m", BENCHMARKS, *words, "--dry_run"],
        cwd=directory, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if checked.returncode:
        reason = checked.stderr.strip().removeprefix("error: ")
        error = ConfigError if checked.returncode == ConfigError.exit_code else FlowrateError
        raise error(reason or f"{BENCHMARKS} ended with status {checked.returncode}.")
    given = [word.partition("=")[2] for word in words if word.startswith("--output=")]
    folder = (directory / Path(given[-1]).expanduser()).absolute()
    return Job(config, BENCHMARKS, folder, (Task(folder, tuple(words)),), directory)


def _without_run_dir(flags: Sequence[str]) -> list[str]:
    return [flag for flag in flags if not flag.startswith("--run_dir=")]


def _without_strategy(flags: Sequence[str]) -> list[str]:
    """Returns the flags without a strategy that is the one of several workers."""
    for flag in flags:
        if flag.startswith("--strategy") and flag != _STRATEGY:
            raise ConfigError(f"{flag}: several workers train with {_STRATEGY}.")
    return [flag for flag in flags if flag != _STRATEGY]
