"""What NVIDIA's driver says, by NVML, as one line of JSON: `python -m trainer.doctor.nvml_child`.

In a process of its own: a driver in trouble can block its caller for ever.
"""

from __future__ import annotations

import functools
import glob
import json
from pathlib import Path
from typing import Any

from trainer.doctor import children

_SECONDS = 60
_NVIDIA_VENDOR = "0x10de"
# PCI base class 3: display controllers, 3D ones too (pcisig.com, code and ID assignment).
_DISPLAY_CLASS = "0x03"


@functools.cache
def facts() -> dict[str, Any]:
    """Returns what the process said; asked once.

    {"devices": [...], "driver_version", "cuda_version"}, or {"error": why not}; and "nodes", the
    device files, and "on_pci_bus", how many of NVIDIA's GPUs the system itself sees.
    """
    found, ended = children.ask([__name__], timeout_seconds=_SECONDS)
    if found is None:
        said = children.last_line(ended.errors)[:120]
        found = {"error": f"the driver's library {ended.how()}: {said}"}
    nodes = sorted(glob.glob("/dev/nvidia[0-9]*"))
    return {**found, "nodes": nodes, "on_pci_bus": num_on_pci_bus()}


def num_gpus() -> int:
    """Returns how many GPUs the driver reports."""
    return len(facts().get("devices", []))


def num_on_pci_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int:
    """Returns how many NVIDIA GPUs are on the bus, whether or not they can be used."""
    return sum(
        vendor.read_text().strip() == _NVIDIA_VENDOR
        and vendor.with_name("class").read_text().startswith(_DISPLAY_CLASS)
        for vendor in devices.glob("*/vendor")
    )


def main() -> None:
    """Prints the facts, or why there are none."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
        found = {
            "driver_version": nvml.nvmlSystemGetDriverVersion(),
            "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}",
            "devices": [_describe(nvml, handle) for handle in handles],
        }
    except Exception as error:  # NVML's own, and that of a package that is missing.
        found = {"error": str(error)}
    print(json.dumps(found))


def _describe(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        processes = [each.pid for each in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except nvml.NVMLError:  # This GPU, or this user, gets no answer.
        processes = []
    return {
        "name": nvml.nvmlDeviceGetName(handle),
        "memory_total_bytes": memory.total,
        "memory_free_bytes": memory.free,
        "processes": processes,
    }


if __name__ == "__main__":
    main()
