"""What cannot run in pods as asked is said before anything is made."""

from __future__ import annotations

import os.path
import re

from flowrate import options
from flowrate.errors import ConfigError
from trainer.config import TrainConfig
from trainer.submit.job import TRAINER, Job

# Where the volume is in the pods.
RUNS = "/runs"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL.pattern}(\.{_LABEL.pattern})*")
# Flags that may name files, and their values that name none.
_PATHS = ("data_dir", "weights", "class_weights")
_NO_PATHS = ("none", "imagenet", "balanced")


def check_pods_can_run(job: Job) -> None:
    """Raises ConfigError for what pods cannot do."""
    config = job.config
    if not config.image:
        raise ConfigError("--image=NAME is needed: what --cluster=kubernetes runs; see Dockerfile.")
    if config.tasks_per_node > 1:
        raise ConfigError(
            f"--tasks_per_node={config.tasks_per_node}: a pod holds one worker, with all GPUs of "
            "--gpus_per_node; give --nodes=N for more workers."
        )
    if not _LABEL.fullmatch(config.namespace):
        raise ConfigError(
            f"--namespace={config.namespace}: small letters, digits and dashes, at most 63."
        )
    if config.volume_claim and not _SUBDOMAIN.fullmatch(config.volume_claim):
        raise ConfigError(
            f"--volume_claim={config.volume_claim}: small letters, digits, dashes and dots only."
        )
    if config.nodes > 1 and not config.volume_claim:
        raise ConfigError(
            f"--nodes={config.nodes}: workers of several pods share the run directory; give "
            "--volume_claim=NAME, a PersistentVolumeClaim that many nodes may write "
            "(ReadWriteMany)."
        )
    for task in job.tasks:
        _check_run_dir("--run_dir" if job.module == TRAINER else "--output", str(task.run_dir))
        _check_flags(job, task.flags)


def _check_run_dir(flag: str, path: str) -> None:
    if not path.startswith(f"{RUNS}/") or os.path.normpath(path) != path or not path.isprintable():
        raise ConfigError(
            f"{flag}={path}: in the pods the volume is at {RUNS}; give {flag}={RUNS}/NAME."
        )


def _check_flags(job: Job, flags: tuple[str, ...]) -> None:
    if job.module == TRAINER:
        asked = options.parse(TrainConfig, [TRAINER, *flags])
        paths = {name: getattr(asked, name) for name in _PATHS}
    else:
        given = [flag.partition("=")[2] for flag in flags if flag.startswith("--data_dir=")]
        paths = {"data_dir": given[-1] if given else None}
    for name, path in paths.items():
        if path and path not in _NO_PATHS and not path.startswith("/"):
            raise ConfigError(
                f"--{name}={path}: the pods see no folder of this machine; put the files on the "
                f"volume, and give --{name}={RUNS}/NAME."
            )
    if any(flag.lstrip("-").startswith("flagfile") for flag in flags):
        raise ConfigError("--flagfile: the pods see no file of this machine; give its flags.")
