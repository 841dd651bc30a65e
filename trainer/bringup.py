"""Brings the workers of a run together, within a bound, or says who is missing.

TensorFlow's strategy waits for all workers when it is made, for as long as it takes and without a
word. So a thread looks meanwhile which of them answer.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

import tensorflow as tf
from tensorflow.python.distribute import collective_all_reduce_strategy

from flowrate.errors import ClusterError
from trainer.cluster import Cluster
from trainer.preflight import is_listening

_LOOK_SECONDS = 1.0


def connect(
    cluster: Cluster,
    timeout_seconds: float,
    num_cpu_devices: int,
    give_up: Callable[[ClusterError], None],
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy over all workers once all are there.

    Nothing of TensorFlow may have run before but the set-up of devices.

    Args:
        cluster: the workers.
        timeout_seconds: how long to wait for them.
        num_cpu_devices: replicas of this worker where it has no GPU.
        give_up: ends the process when the time is over: the wait itself cannot be broken off.

    Raises:
        ClusterError: TensorFlow could not connect the workers.
    """
    num_gpus = len(tf.config.get_visible_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": num_gpus},
        rpc_layer="grpc",
    )
    with _deadline(cluster, timeout_seconds, give_up), _all_cpu_devices(num_cpu_devices):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except tf.errors.OpError as error:
            reason = " ".join(error.message.split())[:200]
            raise ClusterError(f"the workers could not be connected: {reason}.") from None


@contextlib.contextmanager
def _deadline(cluster: Cluster, seconds: float, give_up) -> Iterator[None]:
    is_over = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(cluster, seconds, give_up, is_over), name="bring-up", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()


def _watch(cluster: Cluster, seconds: float, give_up, is_over: threading.Event) -> None:
    end = time.monotonic() + seconds
    missing = [index for index in range(cluster.num_workers) if index != cluster.index]
    while not is_over.wait(min(_LOOK_SECONDS, max(0.0, end - time.monotonic()))):
        missing = [index for index in missing if not is_listening(cluster.addresses[index])]
        if time.monotonic() < end or is_over.is_set():
            continue
        if missing:
            who = ", ".join(map(cluster.describe, missing))
            what = f"{who} did not answer; start all workers, and let them reach each other"
        else:
            what = "all of them answer, but not all have joined; is each of this run?"
        give_up(ClusterError(f"waited {seconds:.0f} s for {cluster.num_workers} workers: {what}."))
        return


def _all_cpu_devices(count: int):
    """Lets a worker without GPUs have several replicas, one for each virtual CPU device.

    TensorFlow takes one CPU device for each worker, whatever there is; it has no option for this.
    """
    if count <= 1:
        return contextlib.nullcontext()

    def local_devices(self, cluster_resolver, worker_device):
        return tuple(f"{worker_device}/device:CPU:{number}" for number in range(count)), "CPU"

    return mock.patch.object(
        collective_all_reduce_strategy.CollectiveAllReduceExtended,
        "_initialize_local_devices",
        local_devices,
    )
