"""The tasks of `--strategy=parameter_server`: a chief who schedules, workers, parameter servers.

    chief     trainer/parameter_server/engine.py; reads data, hands out steps, evaluates, writes
    worker    computes the gradients of the steps that the chief hands it
    ps        holds the weights and the optimizer's state, and applies the gradients

Workers and parameter servers are TensorFlow servers that wait to be told what to do. They look at
the chief's status, and end as it ends. No TensorFlow at the top.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrate.errors import ClusterError, FlowrateError, PeerLost, Preempted
from flowrate.signals import StopRequest
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.distributed.cluster import gpus_of
from trainer.distributed.parameter_server_cluster import CHIEF, TaskCluster
from trainer.distributed.peers import PeerWatch
from trainer.distributed.preflight import is_listening
from trainer.distributed.votes import Agreement
from trainer.distributed.worker import Worker, visible_gpus, warn_of_open_ports
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer.loop import TrainingRun
    from trainer.output.console import Console

_LOOK_SECONDS = 0.25
# How TensorFlow names a parameter server in an error.
_PS_IN_ERROR = re.compile(r"/job:ps/replica:0/task:(\d+)")


def make_task(
    cluster: TaskCluster, run_dir: RunDir, give_up: Callable[[FlowrateError], None]
) -> ChiefTask | ServerTask:
    """Returns this process as the task that it is; arguments as Worker's."""
    return (ChiefTask if cluster.is_chief else ServerTask)(cluster, run_dir, give_up)


class ServerTask(Worker):
    """A worker or a parameter server, from before TensorFlow is imported to its end."""

    leaves_at_once = True  # TensorFlow's server cannot be stopped.
    _stop: StopRequest | None = None

    def serve(self, config: TrainConfig, stop: StopRequest) -> bool:
        """Does what the chief says until the chief ends, and returns True.

        A first signal is passed on to the chief, who saves; until then all are needed.

        Raises:
            Preempted: the chief has saved and left.
            ClusterError: no chief came.
        """
        from flowrate.native_log import divert_native_stderr
        from trainer import session

        self.start(PhaseClock())
        divert_native_stderr(self.run_dir.native_log_path)
        session.import_tensorflow()
        self._server = self._start_server()
        self._stop = stop
        stop.install()  # TensorFlow takes SIGTERM for itself.
        stop.arm()
        self._clock.current = "serve"
        if self._wait_for_end_of_chief(config):
            raise Preempted("the chief has saved and left.")
        return True

    def _wait_for_end_of_chief(self, config: TrainConfig) -> int:
        end = time.monotonic() + config.bringup_timeout
        # Where the chief is lost, or fails, the watch ends this process.
        while (exit_code := self._watch.status_of(CHIEF).get("exit_code")) not in (
            0, Preempted.exit_code,
        ):  # fmt: skip
            if not self._watch.status_of(CHIEF) and time.monotonic() > end:
                raise ClusterError(
                    f"waited {config.bringup_timeout} s for {self.cluster.describe(CHIEF)}, who "
                    f"did not come; start it, with the same --run_dir={self.run_dir.path}."
                )
            time.sleep(_LOOK_SECONDS)
        return exit_code

    def _start_server(self) -> tf.distribute.Server:
        import tensorflow as tf

        job, place = self.cluster.task(self.cluster.index)
        options = tf.compat.v1.ConfigProto()
        options.gpu_options.allow_growth = True
        return tf.distribute.Server(
            tf.train.ClusterSpec(self.cluster.jobs()),
            job_name=job, task_index=place, protocol="grpc", config=options,
        )  # fmt: skip

    def _make_watch(self, give_up: Callable[[FlowrateError], None]) -> PeerWatch:
        folder = self.run_dir.path / "status"
        return PeerWatch(folder, self.cluster, self._facts, give_up, needed=[CHIEF])

    def _facts(self) -> dict[str, Any]:
        signal_name = None if self._stop is None else self._stop.signal_name
        return {**super()._facts(), "signal": signal_name}

    def _share_gpus(self) -> None:
        # One each: with several, a step would be split among them.
        is_worker = self.cluster.index in self.cluster.trainers
        own = gpus_of(self.cluster, visible_gpus(os.environ))[:1] if is_worker else []
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)


class ChiefTask(Worker):
    """The chief: connects the others and builds the run that they work on."""

    leaves_at_once = True  # Its threads wait for steps for ever.
    _console: Console | None = None

    def connect(self, config: TrainConfig) -> None:
        """Waits for all the others and connects them.

        Raises:
            ClusterError: somebody is missing; names who.
        """
        from trainer.parameter_server import build as parameter_server_build

        warn_of_open_ports()
        self._wait_for_servers(config.bringup_timeout)
        self._strategy = parameter_server_build.connect(self.cluster, self.run_dir.native_log_path)

    def build_run(self, config, data, run_dir, console, clock, stop) -> TrainingRun:
        """Builds the run; see parameter_server_build.build_run."""
        from trainer.parameter_server import build as parameter_server_build

        self._console = console
        return parameter_server_build.build_run(
            config, data, run_dir, console, clock, stop,
            cluster=self.cluster,
            strategy=self._strategy,
            agreement=TaskAgreement(stop, self._watch),
        )  # fmt: skip

    def explain(self, error: Exception) -> PeerLost | None:
        """Returns which parameter server's end an error of TensorFlow's comes from, if any."""
        named = _PS_IN_ERROR.search(str(error))
        names = {kind.__name__ for kind in type(error).__mro__}
        if named and names & {"UnavailableError", "AbortedError"}:
            lost = self.cluster.parameter_servers[int(named[1])]
            return self._watch.describe_lost(lost, "TensorFlow lost the connection")
        return super().explain(error)

    def _make_watch(self, give_up: Callable[[FlowrateError], None]) -> PeerWatch:
        return PeerWatch(
            self.run_dir.path / "status", self.cluster, self._facts, give_up,
            needed=self.cluster.parameter_servers, tell=self._say,
        )  # fmt: skip

    def _say(self, line: str) -> None:
        if self._console:
            self._console.say(line)

    def _share_gpus(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # They are the workers'.

    def _wait_for_servers(self, timeout_seconds: float) -> None:
        """Returns when all workers and parameter servers have answered."""
        end = time.monotonic() + timeout_seconds
        missing = [*self.cluster.trainers, *self.cluster.parameter_servers]
        while True:
            missing = [one for one in missing if not is_listening(self.cluster.addresses[one])]
            if not missing:
                return
            if time.monotonic() > end:
                who = ", ".join(map(self.cluster.describe, missing))
                raise ClusterError(
                    f"waited {timeout_seconds:.0f} s for the other tasks: {who} did not answer; "
                    "start all tasks, and let them reach each other."
                )
            time.sleep(_LOOK_SECONDS)


class TaskAgreement(Agreement):
    """Whether to stop or to save: once that is asked of any task and no step is under way.

    Args:
        stop: tells of the signals that come to the chief.
        watch: tells of the others'.
    """

    def __init__(self, stop: StopRequest, watch: PeerWatch):
        super().__init__(stop)
        self._watch = watch
        self._asked_by: str | None = None

    def __bool__(self) -> bool:
        return self._is_agreed

    @property
    def is_asked(self) -> bool:
        """Whether a signal has come; steps may be under way."""
        if self._asked_by is None:
            signalled = self._watch.signalled()
            self._asked_by = self._stop.signal_name or (signalled and f"a signal to {signalled}")
        return self._asked_by is not None

    @property
    def reason(self) -> str:
        """Why to stop, for the user."""
        return self._asked_by or ""

    def take_save(self) -> bool:
        """Returns whether to save now; see Agreement.take_save."""
        is_agreed, self._save_agreed = self._save_agreed, False
        return is_agreed

    def count(self, sums: Any = None) -> None:
        """Called when no step is under way: from now on what was asked holds."""
        self._is_agreed = self.is_asked
        self._save_agreed = self.is_save_due()
