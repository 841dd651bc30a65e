"""Devices and the distribution strategy, under TensorFlow's own names."""

from __future__ import annotations

import os

import tensorflow as tf

from flowrate.environment import num_cpus
from flowrate.errors import ConfigError
from trainer.config import TrainConfig
from trainer.distributed import tpu
from trainer.distributed.bringup import connect
from trainer.distributed.cluster import Cluster

# One computes while another sends: a single thread first computes all that is ready.
_LEAST_THREADS = 2
_THREADS = "TF_NUM_INTEROP_THREADS"


def configure_devices(config: TrainConfig) -> None:
    """Sets up devices and determinism; once per process, before any other TensorFlow call.

    Raises:
        ConfigError: the devices cannot be set up as asked.
    """
    cpus, gpus = tf.config.list_physical_devices("CPU"), tf.config.list_physical_devices("GPU")
    if config.virtual_devices:
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_logical_device_configuration(
            cpus[0], [tf.config.LogicalDeviceConfiguration()] * config.virtual_devices
        )
    else:
        if config.strategy == "one_device" and gpus:
            gpus = gpus[:1]
            tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            # Take memory as it is needed: a fixed share would fail beside other users.
            tf.config.experimental.set_memory_growth(gpu, True)
    is_one_of_several = config.strategy == "multi_worker_mirrored"
    if is_one_of_several and num_cpus() < _LEAST_THREADS and _THREADS not in os.environ:
        tf.config.threading.set_inter_op_parallelism_threads(_LEAST_THREADS)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def build_strategy(config: TrainConfig, cluster: Cluster | None = None) -> tf.distribute.Strategy:
    """Returns the strategy: one replica per GPU, else one per (virtual) CPU device.

    A single replica gets TensorFlow's default strategy whatever was asked for: there is nothing to
    mirror, and the whole loop can then be compiled.

    Args:
        config: what was asked for.
        cluster: the workers, where there are several; they are connected.

    Raises:
        ConfigError: an unknown strategy.
        ClusterError: as bringup.connect does; no TPU can be used.
    """
    if cluster:
        return connect(cluster, config.bringup_timeout, config.virtual_devices)
    if config.strategy == "tpu":
        return tpu.connect(tpu.find_tpu(config.tpu_name, os.environ))
    if config.strategy not in _DEVICES:
        raise ConfigError(f"--strategy={config.strategy}: choose from {', '.join(_DEVICES)}.")
    devices = _DEVICES[config.strategy]()
    if config.virtual_devices:
        devices = devices[: config.virtual_devices]
    if len(devices) == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def describe_devices() -> list[dict[str, str]]:
    """Returns, JSON-able, the devices TensorFlow may use: name, and for GPUs what they are."""
    described = [{"name": device.name} for device in tf.config.list_logical_devices()]
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        described.append({"name": gpu.name, **{key: str(fact) for key, fact in details.items()}})
    return described


def is_on_gpu() -> bool:
    """Returns whether there is a GPU that this run uses."""
    return bool(tf.config.list_logical_devices("GPU"))


def gpu_capability() -> tuple[int, int] | None:
    """Returns the lowest compute capability of the GPUs in use; None where there is none."""
    if not is_on_gpu():
        return None
    details = map(tf.config.experimental.get_device_details, tf.config.get_visible_devices("GPU"))
    return min(each.get("compute_capability", (0, 0)) for each in details)


def _all_devices() -> list[tf.config.LogicalDevice]:
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


_DEVICES = {
    "one_device": lambda: _all_devices()[:1],
    "mirrored": _all_devices,
    # Of a single worker: all the rest of the cluster is this process.
    "multi_worker_mirrored": _all_devices,
}
