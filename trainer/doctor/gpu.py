"""GPUs: what the driver reports beside what TensorFlow sees. No TensorFlow here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, in_gib

# The first driver of each major version of CUDA; within one, older minor versions do
# (docs.nvidia.com/deploy/cuda-compatibility, minor version compatibility).
_FIRST_DRIVER = {"12": "525.60.13", "13": "580.65.06"}
_LITTLE_FREE_SHARE = 0.5
_INSTALL = "pip install -e .[gpu]"
_CONTAINER = (
    "in a container: docker run --gpus all (with NVIDIA's container toolkit), or in Kubernetes a "
    "limit of nvidia.com/gpu"
)

Facts = Mapping[str, Any]


def judge(
    driver: Facts, tensorflow: Facts | None, environment: Mapping[str, str]
) -> Iterator[tuple[str, Check]]:
    """Yields the checks for what was found.

    Args:
        driver: as nvml_child.facts.
        tensorflow: as tensorflow_child.facts; None where it cannot be imported.
        environment: the variables of the process.
    """
    devices = driver.get("devices", [])
    if not devices:
        yield "GPU", _without_devices(driver)
        return
    yield "nvidia-smi", check_program(shutil.which("nvidia-smi"))
    for index, device in enumerate(devices):
        yield f"GPU {index}", _check_device(device)
    facts = {name: driver[name] for name in ("driver_version", "cuda_version", "nodes")}
    found = f"{driver['driver_version']}, for CUDA up to {driver['cuda_version']}"
    yield "driver", Check(OK, found, facts=facts)
    if tensorflow is not None:  # Else that failed already.
        yield "seen by TensorFlow", _check_seen(driver, tensorflow, environment)


def check_program(path: str | None) -> Check:
    """Returns whether nvidia-smi, by which the workers of a machine share its GPUs, is there."""
    if path:
        return Check(OK, path, facts={"path": path})
    to_do = "put it into PATH, or start each worker with its own CUDA_VISIBLE_DEVICES."
    return Check(WARNING, "not in PATH: several workers would train without GPUs", to_do)


def _without_devices(driver: Facts) -> Check:
    reason = driver.get("error", "the driver reports none")
    facts = {"driver_says": reason, "nodes": driver["nodes"], "on_pci_bus": driver["on_pci_bus"]}
    if driver["nodes"]:
        found = f"{driver['nodes'][0]} is there, but cannot be used: {reason}"
        to_do = "install the driver of the running kernel, or restart after its update; "
        return Check(FAILED, found, f"{to_do}{_CONTAINER}.", facts)
    if not driver["on_pci_bus"]:
        return Check(ABSENT, "no NVIDIA GPU here: training uses the CPU", facts=facts)
    found = f"{driver['on_pci_bus']} on the PCI bus, but not for this process ({reason})"
    to_do = f"install NVIDIA's driver; {_CONTAINER}."
    return Check(WARNING, f"{found}: training uses the CPU", to_do, facts)


def _check_device(device: Facts) -> Check:
    free, total = device["memory_free_bytes"], device["memory_total_bytes"]
    others = [str(pid) for pid in device["processes"] if pid != os.getpid()]
    found = f"{device['name']}, {in_gib(free)} of {in_gib(total)} free"
    found += f"; used by pid {', '.join(others[:5])}" if others else ""
    if free < _LITTLE_FREE_SHARE * total or others:
        to_do = "end what uses it, or choose others with CUDA_VISIBLE_DEVICES."
        return Check(WARNING, found, to_do, dict(device))
    return Check(OK, found, facts=dict(device))


def _check_seen(driver: Facts, tensorflow: Facts, environment: Mapping[str, str]) -> Check:
    seen, there = len(tensorflow["gpus"]), len(driver["devices"])
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    facts = {**tensorflow, "CUDA_VISIBLE_DEVICES": visible}
    found = f"{seen} of {there}"
    if seen >= there:
        return Check(OK, found, facts=facts)
    if not tensorflow["is_cuda_build"]:
        found = f"{found}: TensorFlow {tensorflow['version']} is built for CPUs only"
        return Check(FAILED, found, f"pip uninstall tensorflow tensorflow-cpu; {_INSTALL}", facts)
    if visible is not None:
        found += f": CUDA_VISIBLE_DEVICES={visible!r} hides the others"
        return Check(WARNING, found, "unset CUDA_VISIBLE_DEVICES to train on all.", facts)
    wanted = str(tensorflow["cuda_version"] or "").partition(".")[0]
    if wanted and int(driver["cuda_version"].partition(".")[0]) < int(wanted):
        least = f" to {_FIRST_DRIVER[wanted]} or later" if wanted in _FIRST_DRIVER else ""
        return Check(
            FAILED, found, f"the driver is too old for CUDA {wanted}: update it{least}.", facts
        )
    if not driver["nodes"]:
        return Check(FAILED, found, f"/dev/nvidia0 is not there; {_CONTAINER}.", facts)
    says = "python -c 'import tensorflow as tf; tf.config.list_physical_devices()' says why"
    return Check(FAILED, found, f"{_INSTALL} brings CUDA's libraries; {says}.", facts)
