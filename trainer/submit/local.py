"""This machine as a cluster: scripts/launch in the background, one run after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from flowrate.environment import CHECKOUT
from flowrate.errors import ConfigError
from trainer.submit import templates
from trainer.submit.job import TRAINER, Job, Task

FILE_NAME = "job.sh"
_LOG = "logs/job.log"


def render(job: Job) -> str:
    """Returns the job file: a shell script with a line for each run."""
    if job.config.nodes > 1:
        raise ConfigError("--cluster=local is one machine: give --tasks_per_node=N for workers.")
    return templates.render(
        "local.sh.jinja", job=job, commands=[_command(job, task) for task in job.tasks],
        checkout=CHECKOUT, python=sys.executable,
    )  # fmt: skip


def check(job: Job, path: Path) -> str:
    """Lets the shell read the file; returns what there is to say."""
    subprocess.run(["bash", "-n", str(path)], check=True, capture_output=True)
    return "bash can read it"


def submit(job: Job, path: Path) -> str:
    """Starts the job in a session of its own; returns its process and when that began."""
    with (job.folder / _LOG).open("a") as log:
        process = subprocess.Popen(
            ["bash", str(path)], cwd=job.folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return f"{process.pid}.{psutil.Process(process.pid).create_time():.2f}"


def status(record: dict[str, Any]) -> list[str]:
    """Returns a line: whether the job runs."""
    process = _process(record)
    state = "over" if process is None else f"running, pid {process.pid}"
    return [f"job {record['job_id'].partition('.')[0]}: {state}"]


def is_over(record: dict[str, Any]) -> bool:
    """Returns whether the job has ended."""
    return _process(record) is None


def cancel(record: dict[str, Any]) -> None:
    """Asks the job to save and end."""
    if process := _process(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)


def watch_commands(record: dict[str, Any]) -> list[str]:
    """Returns what a user may type."""
    return []


def _command(job: Job, task: Task) -> list[str]:
    if job.module == TRAINER and job.config.num_workers > 1:
        return [
            sys.executable, "-m", "trainer.launch", f"--workers={job.config.num_workers}",
            f"--max_restarts={job.config.max_restarts}", "--", *task.flags,
        ]  # fmt: skip
    return [sys.executable, "-m", job.module, *task.flags]


def _process(record: dict[str, Any]) -> psutil.Process | None:
    """Returns the job's process where it still runs; a number that was given anew is another's."""
    pid, _, began = record["job_id"].partition(".")
    try:
        process = psutil.Process(int(pid))
        same = f"{process.create_time():.2f}" == began
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError):
        return None
