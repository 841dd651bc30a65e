"""What NVIDIA's driver says, by NVML, as one line of JSON: `python -m trainer.doctor.nvml_child`.

In a process of its own: a driver in trouble makes whoever asks wait for ever.
"""

from __future__ import annotations

import functools
import glob
import json
import sys
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
        found = {
            "error": f"the driver's library {ended.how()}: {children.last_line(ended.errors)[:120]}"
        }
    return {
        **found,
        "nodes": sorted(glob.glob("/dev/nvidia[0-9]*")),
        "on_pci_bus": num_on_pci_bus(),
    }


def num_on_pci_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int:
    """Returns how many NVIDIA GPUs are on the bus, whether or not they can be used."""
    count = 0
    for folder in devices.glob("*") if devices.is_dir() else ():
        try:
            vendor, kind = ((folder / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        count += vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS)
    return count


def main() -> None:
    """Prints the facts, or why there are none."""
    try:
        import pynvml
    except ImportError:
        print(json.dumps({"error": "nvidia-ml-py is not installed"}))
        return
    try:
        pynvml.nvmlInit()
        print(json.dumps(_ask(pynvml)))
    except pynvml.NVMLError as error:
        print(json.dumps({"error": str(error)}))


def _ask(nvml: Any) -> dict[str, Any]:
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
    return {
        "driver_version": _text(nvml.nvmlSystemGetDriverVersion()),
        "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}",
        "devices": [_describe(nvml, handle) for handle in handles],
    }


def _describe(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    capability = _or_none(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_total_bytes": memory.total,
        "memory_free_bytes": memory.free,
        "compute_capability": capability,
        "mig": _or_none(nvml, lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0])) or False,
        "processes": _or_none(
            nvml, lambda: [each.pid for each in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        ) or [],
    }  # fmt: skip


def _or_none(nvml: Any, look: Any) -> Any:
    """Returns what NVML says, None where this GPU, or whoever asks, may not be told."""
    try:
        return look()
    except nvml.NVMLError:
        return None


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


if __name__ == "__main__":
    sys.exit(main())
