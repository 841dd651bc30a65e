"""GPUs: what the driver says beside what TensorFlow sees. No TensorFlow here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.doctor import nvml_child, tensorflow_child
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, guarded, in_gib

SECTION = "GPU"
# The first driver of each major version of CUDA; within one, older minor versions do
# (docs.nvidia.com/deploy/cuda-compatibility, minor version compatibility).
_FIRST_DRIVER = {"12": "525.60.13", "13": "580.65.06"}
_LITTLE_FREE_SHARE = 0.5
_INSTALL = "pip install -e .[gpu]"
_CONTAINER = (
    "in a container: docker run --gpus all (with NVIDIA's container toolkit), or in Kubernetes a "
    "limit of nvidia.com/gpu"
)


def look() -> Iterator[Check]:
    """Yields the checks."""
    if num_gpus():
        yield from guarded(SECTION, "nvidia-smi", lambda: check_program(shutil.which("nvidia-smi")))
    yield from guarded(
        SECTION, "GPU",
        lambda: judge(nvml_child.facts(), tensorflow_child.facts()[0], os.environ),
    )  # fmt: skip


def num_gpus() -> int:
    """Returns how many GPUs the driver tells of."""
    return len(nvml_child.facts().get("devices", []))


def check_program(path: str | None) -> Check:
    """Returns whether the program that the workers of a machine share out its GPUs by is there."""
    if path:
        return Check(SECTION, "nvidia-smi", OK, path, facts={"path": path})
    return Check(
        SECTION, "nvidia-smi", WARNING, "not in PATH: several workers would train without GPUs",
        "put it into PATH, or start each worker with its own CUDA_VISIBLE_DEVICES.",
    )  # fmt: skip


def judge(
    driver: Mapping[str, Any],
    tensorflow: Mapping[str, Any] | None,
    environment: Mapping[str, str],
) -> Iterator[Check]:
    """Yields the checks for what was found.

    Args:
        driver: as nvml_child.facts.
        tensorflow: as tensorflow_child.facts; None where it cannot be imported.
        environment: the variables of the process.
    """
    devices = driver.get("devices", [])
    if not devices:
        yield _without_devices(driver)
        return
    for index, device in enumerate(devices):
        yield _check_device(index, device)
    version = driver["driver_version"]
    yield Check(
        SECTION, "driver", OK, f"{version}, for CUDA up to {driver['cuda_version']}",
        facts={name: driver[name] for name in ("driver_version", "cuda_version", "nodes")},
    )  # fmt: skip
    if tensorflow is None:
        yield Check(SECTION, "TensorFlow", FAILED, "cannot be imported; see above", "see above")
        return
    yield from _check_libraries(tensorflow)
    yield _check_seen(driver, tensorflow, environment)


def _without_devices(driver: Mapping[str, Any]) -> Check:
    reason = driver.get("error", "the driver tells of none")
    facts = {"driver_says": reason, "nodes": driver["nodes"], "on_pci_bus": driver["on_pci_bus"]}
    if not driver["nodes"] and not driver["on_pci_bus"]:
        return Check(
            SECTION, "GPU", ABSENT, "no NVIDIA GPU here: training uses the CPU", facts=facts
        )
    if driver["nodes"]:
        return Check(
            SECTION, "GPU", FAILED, f"{driver['nodes'][0]} is there, but cannot be used: {reason}",
            "install the driver of the running kernel, or restart after its update; "
            f"{_CONTAINER}.", facts,
        )  # fmt: skip
    return Check(
        SECTION, "GPU", WARNING,
        f"{driver['on_pci_bus']} on the PCI bus, but not for this process ({reason}): training "
        "uses the CPU",
        f"install NVIDIA's driver; {_CONTAINER}.", facts,
    )  # fmt: skip


def _check_device(index: int, device: Mapping[str, Any]) -> Check:
    free, total = device["memory_free_bytes"], device["memory_total_bytes"]
    capability = ".".join(map(str, device["compute_capability"] or ["unknown"]))
    found = (
        f"{device['name']}, compute capability {capability}, {in_gib(free)} of {in_gib(total)} free"
    )
    if device["mig"]:
        found += ", split (MIG)"
    others = [str(pid) for pid in device["processes"] if pid != os.getpid()]
    if others:
        found += f"; used by pid {', '.join(others[:5])}"
    name, facts = f"GPU {index}", dict(device)
    if free < _LITTLE_FREE_SHARE * total or others:
        to_do = "end what uses it, or choose others with CUDA_VISIBLE_DEVICES."
        return Check(SECTION, name, WARNING, found, to_do, facts)
    return Check(SECTION, name, OK, found, facts=facts)


def _check_libraries(tensorflow: Mapping[str, Any]) -> Iterator[Check]:
    name = "CUDA libraries"
    if not tensorflow["is_cuda_build"]:
        yield Check(
            SECTION, name, FAILED, f"TensorFlow {tensorflow['version']} is built for CPUs only",
            f"pip uninstall tensorflow tensorflow-cpu; {_INSTALL}",
        )  # fmt: skip
        return
    missing = [library for library, is_there in tensorflow["libraries"].items() if not is_there]
    if tensorflow["gpus"]:  # It registers no GPU unless it could open all that it needs.
        missing = []
    built = f"CUDA {tensorflow['cuda_version']}, cuDNN {tensorflow['cudnn_version']}"
    facts = {"built_for": built, "libraries": tensorflow["libraries"]}
    if missing:
        yield Check(
            SECTION, name, FAILED,
            f"TensorFlow is built for {built}; not found: {', '.join(missing)}", _INSTALL, facts,
        )  # fmt: skip
        return
    yield Check(SECTION, name, OK, f"those of {built}, which TensorFlow is built for", facts=facts)


def _check_seen(
    driver: Mapping[str, Any], tensorflow: Mapping[str, Any], environment: Mapping[str, str]
) -> Check:
    name = "seen by TensorFlow"
    seen, there = len(tensorflow["gpus"]), len(driver["devices"])
    facts = {
        "gpus": list(tensorflow["gpus"]),
        "CUDA_VISIBLE_DEVICES": environment.get("CUDA_VISIBLE_DEVICES"),
    }
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and seen < there:
        return Check(
            SECTION, name, WARNING,
            f"{seen} of {there}: CUDA_VISIBLE_DEVICES={visible!r} hides the others",
            "unset CUDA_VISIBLE_DEVICES to train on all.", facts,
        )  # fmt: skip
    if seen >= there:
        return Check(SECTION, name, OK, f"{seen} of {there}", facts=facts)
    return Check(
        SECTION, name, FAILED, f"{seen} of {there}", _why_unseen(driver, tensorflow), facts
    )


def _why_unseen(driver: Mapping[str, Any], tensorflow: Mapping[str, Any]) -> str:
    wanted = str(tensorflow["cuda_version"] or "").partition(".")[0]
    if wanted and int(driver["cuda_version"].partition(".")[0]) < int(wanted):
        first = _FIRST_DRIVER.get(wanted)
        least = f" to {first} or later" if first else ""
        return f"the driver is too old for CUDA {wanted}: update it{least}."
    if not tensorflow["is_cuda_build"] or not all(tensorflow["libraries"].values()):
        return _INSTALL
    if not driver["nodes"]:
        return f"/dev/nvidia0 is not there; {_CONTAINER}."
    return "python -c 'import tensorflow as tf; tf.config.list_physical_devices()' says why."
