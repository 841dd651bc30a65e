"""Submits jobs: `scripts/submit --cluster=slurm --nodes=2 -- --dataset=mnist`.

docs/cluster.md shows it in use.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich

from flowrate import options
from flowrate.errors import ConfigError, DataError, FlowrateError
from flowrate.text import one_line
from trainer.submit import kubernetes, local, slurm, table
from trainer.submit.config import SubmitConfig
from trainer.submit.job import Job, plan_job, read_record

USAGE = """Submits training and benchmarks to a cluster, and looks after them.

    scripts/submit --cluster=slurm|kubernetes|local [--flag=value ...] -- FLAGS OF trainer.main
    scripts/submit --cluster=... -- benchmarks.main run --suite=NAME --output=DIR
    scripts/submit status RUN_DIR      how far it is; of a sweep, a table
    scripts/submit logs RUN_DIR        what the workers print [--follow]
    scripts/submit cancel RUN_DIR      save and end"""

# Each has the same functions: render, check, submit, status, is_over, cancel, watch_commands.
_CLUSTERS = {"slurm": slurm, "kubernetes": kubernetes, "local": local}


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status."""
    try:
        command = argv[1] if len(argv) > 1 else "--help"
        if command in _COMMANDS:
            return _COMMANDS[command](argv[2:])
        if not command.startswith("-"):
            raise ConfigError(f"{command!r}: choose from {', '.join(_COMMANDS)}; see --help.")
        return _submit(argv)
    except FlowrateError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # As with `| head`.
        sys.stderr.close()
        return 0


def _submit(argv: Sequence[str]) -> int:
    own, words = split(argv)
    if len(own) == 1 or {"--help", "-h"} & set(own):
        print(options.render_help(SubmitConfig, USAGE))
        return 0
    config = options.parse(SubmitConfig, own)
    cluster = _CLUSTERS[config.cluster]
    job = plan_job(config, words, Path.cwd())
    _check_is_free(job)
    path = job.write_file(cluster.FILE_NAME, cluster.render(job))
    if config.dry_run:
        print(f"{path}: {cluster.check(job, path)}")
        return 0
    job.write_record("", argv)  # Should this process die in between, no job is without a record.
    job_id = cluster.submit(job, path)
    job.write_record(job_id, argv)
    _tell(job, path, job_id)
    return 0


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


def _status(words: Sequence[str]) -> int:
    _, record = _read(words, "status")
    for line in _cluster_of(record).status(record):
        print(line)
    rows = table.read_rows(record)
    rich.print(table.show(rows))
    return 0


def _table(words: Sequence[str]) -> int:
    """Writes sweep.csv; job files ask for it at the end of each run."""
    folder, record = _read(words, "table")
    print(table.write_csv(folder, table.read_rows(record)))
    return 0


def _logs(words: Sequence[str]) -> int:
    follow = "--follow" in words
    folder, record = _read([word for word in words if word != "--follow"], "logs")
    if record["cluster"] == "kubernetes":
        return kubernetes.show_logs(record, follow)
    paths = sorted(folder.glob("logs/*.log"))
    if not paths:
        raise DataError(f"{folder}/logs: nothing has been printed yet.")
    how = ["--follow", "--lines=100"] if follow else ["--lines=+1"]
    return subprocess.run(["tail", *how, "--", *map(str, paths)]).returncode


def _cancel(words: Sequence[str]) -> int:
    folder, record = _read(words, "cancel")
    _cluster_of(record).cancel(record)
    print(f"job {record['job_id']}: asked to save and end; see scripts/submit status {folder}")
    return 0


def _read(words: Sequence[str], command: str) -> tuple[Path, dict[str, Any]]:
    if len(words) != 1 or words[0].startswith("-"):
        raise ConfigError(f"{command} needs one run directory.")
    folder = Path(words[0]).expanduser().absolute()
    return folder, read_record(folder)


def _cluster_of(record: dict[str, Any]):
    if record["cluster"] not in _CLUSTERS:
        raise ConfigError(f"job.json: no such cluster: {record['cluster']}.")
    return _CLUSTERS[record["cluster"]]


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns this program's words, its name first, and those after `--`."""
    if "--" not in argv:
        return list(argv), []
    place = list(argv).index("--")
    return list(argv[:place]), list(argv[place + 1 :])


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "status": _status, "logs": _logs, "cancel": _cancel, "table": _table,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv))
