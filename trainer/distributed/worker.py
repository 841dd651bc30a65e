"""This process as one of the several workers of a run: what it needs beside the run itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from flowrate.environment import num_gpus
from flowrate.errors import FlowrateError, PeerLost
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.distributed.cluster import Cluster, gpus_of
from trainer.distributed.follower import FollowerDir
from trainer.distributed.peers import PeerWatch
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:
    from trainer.distributed.team import Team

# How TensorFlow says that a collective did not come to its end: surely, or perhaps, because of
# another worker.
_SURELY = frozenset({"DeadlineExceededError", "UnavailableError"})
_PERHAPS = frozenset({"AbortedError", "CancelledError", "InternalError"})


def open_run_dir(config: TrainConfig, cluster: Cluster | None, tell) -> RunDir:
    """Opens the run directory as the chief does, or as the others do; raises as RunDir.open."""
    if cluster is None or cluster.is_chief:
        return RunDir.open(config, tell)
    return FollowerDir.join(config, cluster.name(cluster.index))


class Worker:
    """One of several workers, from before TensorFlow is imported to the end of the process.

    Args:
        cluster: the workers.
        run_dir: of the run.
        give_up: ends the process with an error, from any thread.

    Attributes:
        team: the workers, once they are connected.
    """

    team: Team | None = None

    def __init__(
        self, cluster: Cluster, run_dir: RunDir, give_up: Callable[[FlowrateError], object]
    ):
        self.cluster = cluster
        self.run_dir = run_dir
        self._clock: PhaseClock | None = None
        self._progress = lambda: {"step": 0, "busy_seconds_per_step": None}
        self._watch = PeerWatch(run_dir.path / "status", cluster, self._facts, give_up)

    def start(self, clock: PhaseClock) -> None:
        """Begins to watch the others, and takes its share of the machine's GPUs."""
        self._clock = clock
        self._watch.start()
        share_gpus(self.cluster, os.environ)

    def connect(self, config: TrainConfig) -> None:
        """Connects the workers; see bringup.connect."""
        from trainer.distributed import strategy
        from trainer.distributed.team import Team

        if self.cluster.is_chief:
            _warn_of_open_ports()
        self.team = Team(self.cluster, strategy.build_strategy(config, self.cluster))

    def report(self, progress: Callable[[], dict[str, Any]]) -> None:
        """Tells the others from now on what `progress` gives: this worker's step and its pace."""
        self._progress = progress

    def explain(self, error: Exception) -> PeerLost | None:
        """Returns which worker's end an error of TensorFlow's comes from; None for other errors."""
        names = {kind.__name__ for kind in type(error).__mro__}
        if not names & (_SURELY | _PERHAPS):
            return None
        return self._watch.find_lost(is_certain=bool(names & _SURELY))

    def end(self, exit_code: int, error: str | None) -> None:
        """Tells the others how this worker ends."""
        self._watch.end(exit_code, error)

    def _facts(self) -> dict[str, Any]:
        return {
            "phase": self._clock.current if self._clock else "start",
            # All workers have come: who begins from now on is too late.
            "is_connected": self.team is not None,
            **self._progress(),
        }


def _warn_of_open_ports() -> None:
    """Says who may connect to the run."""
    print(
        "warning: each worker's port is open on all its interfaces, and TensorFlow trusts "
        "whoever connects: keep the ports closed to strangers.",
        file=sys.stderr,
    )


def share_gpus(cluster: Cluster, environment: MutableMapping[str, str]) -> None:
    """Leaves this worker its own GPUs in CUDA_VISIBLE_DEVICES, before TensorFlow looks there."""
    if cluster.num_local == 1:
        return
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_of(cluster, _visible_gpus(environment)))


def _visible_gpus(environment: MutableMapping[str, str]) -> list[str]:
    """Returns the identifiers of the GPUs that this process may use."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(num_gpus())]
    return given.split(",")
