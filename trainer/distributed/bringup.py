"""Brings the workers of a run together, within a bound, or says who is missing.

TensorFlow's strategy waits for all workers when it is made, for as long as it takes, without a word
and without letting another thread run. So the workers first find each other
(trainer/distributed/rendezvous.py); only then is the strategy made.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from unittest import mock

import tensorflow as tf
from tensorflow.python.distribute import collective_all_reduce_strategy

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster
from trainer.distributed.rendezvous import wait_for_all

# Ends a process that waits in TensorFlow for a worker that was there and is no more: its own
# threads cannot. SIGKILL gives status 137: try again.
_GUARD = """
import os, signal, sys, time
seconds, parent = float(sys.argv[1]), int(sys.argv[2])
end = time.monotonic() + seconds
while time.monotonic() < end:
    time.sleep(0.5)
    if os.getppid() != parent:
        sys.exit()
print(f"error: all workers were there, but were not connected within {seconds:.0f} s; one of them "
      "has gone again.", file=sys.stderr, flush=True)
os.kill(parent, signal.SIGKILL)
"""


def connect(
    cluster: Cluster, timeout_seconds: float, num_cpu_devices: int
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy over all workers once all are there.

    Nothing of TensorFlow may have run before but the set-up of devices.

    Args:
        cluster: the workers.
        timeout_seconds: how long to wait for them.
        num_cpu_devices: replicas of this worker where it has no GPU.

    Raises:
        ClusterError: somebody is missing, or TensorFlow could not connect the workers.
    """
    wait_for_all(cluster, timeout_seconds)
    num_gpus = len(tf.config.get_visible_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": num_gpus},
        rpc_layer="grpc",
    )
    with _guard(timeout_seconds), _all_cpu_devices(num_cpu_devices):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except tf.errors.OpError as error:
            reason = " ".join(error.message.split())[:200]
            raise ClusterError(f"the workers could not be connected: {reason}.") from None


@contextlib.contextmanager
def _guard(seconds: float) -> Iterator[None]:
    words = [sys.executable, "-c", _GUARD, str(seconds), str(os.getpid())]
    guard = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


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
