"""SubmitConfig: what is asked of a cluster. Each option is written once."""

from __future__ import annotations

import dataclasses
import re

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import option

CLUSTERS = ("slurm", "kubernetes", "local")
# As `sbatch --time` takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours and on.
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_WHERE, _WHAT, _KUBERNETES = "Where", "How", "Kubernetes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubmitConfig:
    """What a job asks of its cluster: frozen, checked when made.

    Raises (on construction):
        ConfigError: a value that cannot work.
    """

    cluster: str = option(
        "", group=_WHERE, help=f"One of {', '.join(CLUSTERS)}; local: this machine. Needed."
    )
    nodes: int = option(1, group=_WHERE, lower_bound=1, upper_bound=4096, help="Machines.")
    tasks_per_node: int = option(
        1, group=_WHERE, lower_bound=1, upper_bound=64,
        help="Workers on each machine; they share out its GPUs.",
    )  # fmt: skip
    gpus_per_node: int = option(
        0, group=_WHERE, lower_bound=0, upper_bound=64, help="GPUs to ask for on each machine."
    )
    cpus_per_task: int = option(
        0, group=_WHERE, lower_bound=0, upper_bound=1024,
        help="CPUs to ask for, for each worker; 0: the cluster's default.",
    )  # fmt: skip
    memory: str | None = option(
        None, group=_WHERE, help="Memory to ask for on each machine, as 64G; unset: the default."
    )
    partition: str | None = option(None, group=_WHERE, help="Slurm: the partition.")
    account: str | None = option(None, group=_WHERE, help="Slurm: the account to charge.")

    time: str | None = option(
        None, group=_WHAT,
        help="Time limit of one job, as Slurm writes it: minutes, H:MM:SS or D-HH:MM:SS; unset: an "
        "hour on Slurm, none on Kubernetes. A run that is not done then is saved; on Slurm it goes "
        "on in a further job.",
    )  # fmt: skip
    save_seconds: int = option(
        120, group=_WHAT, lower_bound=1, upper_bound=3600,
        help="How long before the limit the run is told to save.",
    )  # fmt: skip
    max_restarts: int = option(
        3, group=_WHAT, lower_bound=0, upper_bound=1000,
        help="How often all workers begin again after one was lost.",
    )  # fmt: skip
    sweep: tuple[str, ...] = option(
        (), group=_WHAT,
        help="flag=value,value or flag=first..last: a run for each value; several sweeps: for each "
        "combination.",
    )  # fmt: skip
    dry_run: bool = option(
        False, group=_WHAT, help="Write the job file and let the cluster check it; submit nothing."
    )

    image: str | None = option(
        None, group=_KUBERNETES, help="The container image, made from the Dockerfile."
    )
    namespace: str = option("default", group=_KUBERNETES, help="Where the job is made.")
    volume_claim: str | None = option(
        None, group=_KUBERNETES,
        help="PersistentVolumeClaim that all workers mount at /runs: run directories live there.",
    )  # fmt: skip
    jobset: bool = option(
        False, group=_KUBERNETES, help="Make a JobSet, which restarts all workers together."
    )

    def __post_init__(self):
        if not self.cluster:
            raise ConfigError(f"--cluster=NAME is needed: one of {', '.join(CLUSTERS)}.")
        if self.cluster not in CLUSTERS:
            raise ConfigError(f"--cluster={self.cluster}: choose from {', '.join(CLUSTERS)}.")
        options.check(self)
        if self.memory and not re.fullmatch(r"\d+[KMGT]", self.memory):
            raise ConfigError(f"--memory={self.memory}: give a number and K, M, G or T, as 64G.")
        if self.cluster == "slurm" and self.time_seconds < self.save_seconds + 60:
            # Slurm's signal may come a minute early.
            raise ConfigError(
                f"--time={self.time_limit}: must be at least a minute more than "
                f"--save_seconds={self.save_seconds}."
            )
        for name in ("partition", "account", "image", "namespace", "volume_claim"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"[A-Za-z0-9][\w.:/@,-]*", value):
                raise ConfigError(f"--{name}={value}: letters, digits and . _ - / : @ only.")

    @property
    def num_workers(self) -> int:
        return self.nodes * self.tasks_per_node

    @property
    def time_limit(self) -> str:
        """The time limit as Slurm takes it."""
        return self.time or "1:00:00"

    @property
    def time_seconds(self) -> int:
        """The time limit in seconds.

        Raises:
            ConfigError: it is no time.
        """
        match = _TIME.fullmatch(self.time_limit)
        if not match:
            raise ConfigError(f"--time={self.time}: give minutes, H:MM:SS or D-HH:MM:SS.")
        days, *rest = match.groups()
        parts = [int(part) for part in rest if part is not None]
        # With days, hours come first; without, a single number is minutes, two end in seconds.
        if days is not None:
            units: tuple[int, ...] = (3600, 60, 1)
        else:
            units = {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(parts)]
        seconds = sum(part * unit for part, unit in zip(parts, units))
        return seconds + 86400 * int(days or 0)
