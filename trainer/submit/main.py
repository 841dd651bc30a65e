"""Submits jobs: `scripts/submit --cluster=slurm --nodes=2 -- --dataset=mnist`.

docs/cluster.md shows it in use.
"""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich

from flowrate.command import exit_status, run_command
from flowrate.errors import ConfigError, DataError
from flowrate.options import option
from trainer.submit import kubernetes, local, slurm, table
from trainer.submit.config import SubmitConfig
from trainer.submit.job import Job, plan_job, read_record

USAGE = """Submits training and benchmarks to a cluster, and looks after them.

    scripts/submit --cluster=slurm|kubernetes|local [--flag=value ...] -- FLAGS OF trainer.main
    scripts/submit --cluster=... -- benchmarks.main run --suite=NAME --output=DIR
    scripts/submit status RUN_DIR      how far it is; of a sweep, a table
    scripts/submit logs RUN_DIR        what the workers print [--follow]
    scripts/submit cancel RUN_DIR      save and end"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """Nothing beside the run directory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogsConfig:
    """Which lines to print."""

    follow: bool = option(False, group="Logs", help="Go on with what is printed from now on.")


# Each has the same functions: render, check, submit, status, is_over, cancel, watch_commands.
_CLUSTERS = {"slurm": slurm, "kubernetes": kubernetes, "local": local}


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    if len(argv) == 1:
        argv = [*argv, "--help"]
    command = argv[1]
    if command in _COMMANDS:
        return run_command(argv[1:], *_COMMANDS[command])
    if not command.startswith("-"):
        return exit_status(lambda: _refuse(command))

    def submit(config: SubmitConfig, words: list[str]) -> None:
        _submit(config, words, argv)

    return run_command(argv, SubmitConfig, USAGE, submit, after_dashes="flags of the program")


def _refuse(command: str) -> int:
    raise ConfigError(f"{command!r}: choose from {', '.join(_COMMANDS)}; see --help.")


def _submit(config: SubmitConfig, words: list[str], argv: Sequence[str]) -> None:
    cluster = _CLUSTERS[config.cluster]
    job = plan_job(config, words, Path.cwd())
    _check_is_free(job)
    path = job.write_file(cluster.FILE_NAME, cluster.render(job))
    if config.dry_run:
        print(f"{path}:", flush=True)  # It is there, whatever the cluster says.
        print(f"    {cluster.check(job, path)}")
        return
    job.write_record("", argv)  # Should this process die in between, no job is without a record.
    job_id = cluster.submit(job, path)
    job.write_record(job_id, argv)
    _tell(job, path, job_id)


def _tell(job: Job, path: Path, job_id: str) -> None:
    folder = shlex.quote(str(job.folder))
    print(f"job {job_id} of {len(job.tasks)} run{'s' * job.is_sweep}; its file: {path}")
    record = read_record(job.folder)
    for what, line in (
        *(("watch", each) for each in _CLUSTERS[job.config.cluster].watch_commands(record)),
        ("watch", f"scripts/submit status {folder}"),
        ("read", f"scripts/submit logs {folder} --follow"),
        ("stop", f"scripts/submit cancel {folder}"),
        ("resume", "the same scripts/submit command"),
    ):
        print(f"  {what:<7} {line}")


def _check_is_free(job: Job) -> None:
    """Raises ConfigError while an earlier job of this folder has not ended."""
    if not (job.folder / "job.json").exists():
        return
    record = read_record(job.folder)
    if record["job_id"] and not _cluster_of(record).is_over(record):
        raise ConfigError(
            f"{job.folder}: its job {record['job_id']} of {record['cluster']} is not over; "
            "`scripts/submit cancel` it, or choose another --run_dir."
        )


def _status(config: FolderConfig, words: list[str]) -> None:
    _, record = _read(words)
    for line in _cluster_of(record).status(record):
        print(line)
    rich.print(table.show(table.read_rows(record)))


def _table(config: FolderConfig, words: list[str]) -> None:
    """Writes sweep.csv; job files ask for it at the end of each run."""
    folder, record = _read(words)
    print(table.write_csv(folder, table.read_rows(record)))


def _logs(config: LogsConfig, words: list[str]) -> int:
    folder, record = _read(words)
    if record["cluster"] == "kubernetes":
        return kubernetes.show_logs(record, config.follow)
    paths = sorted(folder.glob("logs/*.log"))
    if not paths:
        raise DataError(f"{folder}/logs: nothing has been printed yet.")
    how = ["--follow", "--lines=100"] if config.follow else ["--lines=+1"]
    return subprocess.run(["tail", *how, "--", *map(str, paths)]).returncode


def _cancel(config: FolderConfig, words: list[str]) -> None:
    folder, record = _read(words)
    _cluster_of(record).cancel(record)
    print(f"job {record['job_id']}: asked to save and end; see scripts/submit status {folder}")


def _read(words: list[str]) -> tuple[Path, dict[str, Any]]:
    if len(words) != 1:
        raise ConfigError(f"{len(words)} folders given: one run directory is needed.")
    folder = Path(words[0]).expanduser().absolute()
    return folder, read_record(folder)


def _cluster_of(record: dict[str, Any]):
    if record["cluster"] not in _CLUSTERS:
        raise ConfigError(f"job.json: no such cluster: {record['cluster']}.")
    return _CLUSTERS[record["cluster"]]


_COMMANDS: dict[str, tuple[type, str, Callable[[Any, list[str]], int | None]]] = {
    "status": (FolderConfig, USAGE, _status),
    "logs": (LogsConfig, USAGE, _logs),
    "cancel": (FolderConfig, USAGE, _cancel),
    "table": (FolderConfig, USAGE, _table),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv))
