"""What the workers of a job print, read from their pods: each line with its worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flowrate.errors import ClusterError, DataError
from trainer.submit.kubernetes_api import Api, pod_index, pod_run

_TAIL_LINES = 100
_POLL_SECONDS = 2.0


def show(api: Api, name: str, follow: bool, is_over: Callable[[], bool]) -> int:
    """Prints the lines of a job's pods.

    Args:
        api: the cluster.
        name: of the job.
        follow: go on until the job is over, with the pods that take the place of others too.
        is_over: whether it is.

    Returns:
        The exit status.

    Raises:
        DataError: there is no pod.
        ClusterError: the cluster does not answer, or no longer.
    """
    seen: set[str] = set()
    while True:
        is_last = not follow or is_over()  # Asked before the pods: none comes after it.
        pods = [pod for pod in api.list_pods(name) if pod.metadata.name not in seen]
        if is_last and not pods and not seen:
            raise DataError(f"job {name}: no pod of it is left; what it printed went with them.")
        readers = [_Reader(api, pod, follow) for pod in pods]
        for reader in readers:
            reader.start()
            if not follow:  # One after the other, each whole.
                reader.join()
        for reader in readers:
            reader.join()
            if reader.error:
                raise reader.error
        seen |= {reader.pod_name for reader in readers if reader.has_begun}
        if is_last:
            for reader in readers:
                if not reader.has_begun:
                    print(f"{reader.prefix}has not begun", flush=True)
            return 0
        time.sleep(_POLL_SECONDS)


class _Reader(threading.Thread):
    """Prints the lines of one pod."""

    _lock = threading.Lock()

    def __init__(self, api: Api, pod, follow: bool):
        super().__init__(daemon=True)
        self.pod_name = pod.metadata.name
        number = pod_run(pod)[-4:]  # Of a sweep's run: -007.
        run = f"run {number[1:]}, " if number[:1] == "-" and number[1:].isdecimal() else ""
        self.prefix = f"[{run}worker {pod_index(pod)}] "
        self.has_begun = False
        self.error: ClusterError | None = None
        self._api, self._follow = api, follow

    def run(self) -> None:
        try:
            self._print()
        except ClusterError as error:
            self.error = error

    def _print(self) -> None:
        tail_lines = _TAIL_LINES if self._follow else None
        lines = self._api.read_log(self.pod_name, self._follow, tail_lines)
        if lines is None:
            return
        self.has_begun = True
        for line in lines:
            with self._lock:
                print(f"{self.prefix}{line}", flush=True)
