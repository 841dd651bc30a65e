"""How much may be kept on a device."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.client import device_lib

from flowrate.environment import available_memory_bytes


def free_device_bytes() -> int:
    """Returns the memory that TensorFlow may still take on a device, the smallest of its GPUs'."""
    if not tf.config.list_logical_devices("GPU"):
        return available_memory_bytes()
    limits = [
        device.memory_limit
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]
    return min(limits)
