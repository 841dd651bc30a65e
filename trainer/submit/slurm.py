"""Slurm: the job file, and what sbatch, squeue, scontrol and scancel are asked.

Everything goes to them as words, never through a shell. Sources: slurm.schedmd.com/sbatch.html,
slurm.schedmd.com/job_array.html.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from flowrate.environment import CHECKOUT
from flowrate.errors import ClusterError, ConfigError
from trainer.submit import templates
from trainer.submit.job import Job

FILE_NAME = "job.sh"
_ANSWER_SECONDS = 60
# States in which a job is over: slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES.
OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "TIMEOUT",
}  # fmt: skip


def render(job: Job) -> str:
    """Returns the job file: a shell script with its #SBATCH lines.

    Raises:
        ConfigError: the run directory has a name that Slurm takes for a pattern.
    """
    # sbatch reads patterns in the whole path of a job's log, and has no way to quote one.
    if found := {*"%\\"} & {*str(job.folder)}:
        raise ConfigError(
            f"--run_dir={job.folder}: Slurm reads {found.pop()} in the name of a file as part of a "
            "pattern; choose another name."
        )
    return templates.render(
        "slurm.sh.jinja", job=job, options=_options(job), checkout=CHECKOUT, python=sys.executable
    )


def check(job: Job, path: Path) -> str:
    """Lets Slurm check the job without submitting it; returns what it says.

    Raises:
        ClusterError: it would not be taken, or no Slurm is here.
    """
    done = _ask("sbatch", "--test-only", f"--chdir={job.folder}", str(path))
    return done.stderr.strip().removeprefix("sbatch: ")


def submit(job: Job, path: Path) -> str:
    """Submits the job; returns its number.

    Raises:
        ClusterError: Slurm does not take it, or no Slurm is here.
    """
    done = _ask("sbatch", "--parsable", f"--chdir={job.folder}", str(path))
    return done.stdout.strip().partition(";")[0]


def status(record: dict[str, Any]) -> list[str]:
    """Returns a line for each part of the job that Slurm still knows."""
    lines = []
    for job in _show(record["job_id"]):
        place = job.get("ArrayTaskId")
        name = f"job {record['job_id']}" + (f"[{place}]" if place else "")
        reason = job.get("Reason", "None")
        parts = [f"{name}: {job.get('JobState')}"]
        if reason not in ("None", ""):
            parts.append(f"({reason})")
        if job.get("NodeList", "(null)") != "(null)":
            parts.append(f"on {job['NodeList']}")
        if job.get("Restarts", "0") != "0":
            parts.append(f"requeued {job['Restarts']} times")
        lines.append(" ".join(parts))
    return lines or [f"job {record['job_id']}: no longer known to Slurm, so it is over"]


def is_over(record: dict[str, Any]) -> bool:
    """Returns whether no part of the job runs or waits."""
    return all(job.get("JobState") in OVER for job in _show(record["job_id"]))


def cancel(record: dict[str, Any]) -> None:
    """Ends the job; what runs saves first, within the cluster's KillWait."""
    _ask("scancel", record["job_id"])


def watch_commands(record: dict[str, Any]) -> list[str]:
    """Returns what a user may type."""
    return [f"squeue --jobs={record['job_id']}", f"scontrol show job {record['job_id']}"]


def _options(job: Job) -> list[str]:
    config = job.config
    log = "logs/slurm-%A_%a.log" if job.is_sweep else "logs/slurm-%j.log"
    found = [
        f"--job-name={job.name}",
        f"--nodes={config.nodes}",
        f"--ntasks-per-node={config.tasks_per_node}",
        f"--time={config.time_limit}",
        # Relative to the run directory. Appended: a requeued job goes on in the same file.
        f"--output={log}",
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{config.save_seconds}",
    ]
    if config.gpus_per_node:
        found.append(f"--gres=gpu:{config.gpus_per_node}")
    if config.cpus_per_task:
        found.append(f"--cpus-per-task={config.cpus_per_task}")
    found += [
        f"--{option}={value}"
        for option, value in (
            ("mem", config.memory), ("partition", config.partition), ("account", config.account),
        )
        if value
    ]  # fmt: skip
    if job.is_sweep:
        found.append(f"--array=0-{len(job.tasks) - 1}")
    return found


def _show(job_id: str) -> list[dict[str, str]]:
    """Returns the facts of a job's parts, as scontrol gives them; empty where it is forgotten."""
    try:
        done = _ask("scontrol", "--oneliner", "show", "job", job_id)
    except ClusterError as error:
        if "Invalid job id" in str(error):
            return []
        raise
    return [
        dict(word.partition("=")[::2] for word in line.split() if "=" in word)
        for line in done.stdout.splitlines()
        if line.startswith("JobId=")
    ]


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_ANSWER_SECONDS,
        )  # fmt: skip
    except FileNotFoundError:
        raise ClusterError(
            f"{words[0]}: no such program; --cluster=slurm is for a machine that Slurm's jobs are "
            "submitted from."
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{words[0]} gave no answer within {_ANSWER_SECONDS} s.") from None
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
        raise ClusterError(f"{words[0]}: {reason.removeprefix(words[0] + ': error: ')}")
    return done
