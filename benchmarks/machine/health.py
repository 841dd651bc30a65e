"""Whether the machine was quiet while something was measured."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import psutil

from flowrate.environment import num_cpus

# Below these the others' share is lost in what runs differ by anyway.
_BUSY_PERCENT = 10.0
_NOISY_SHARE = 0.03
_MAX_NAMED = 5
_FREQUENCY_DROP = 0.9


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The counters of a moment."""

    seconds: float
    busy_seconds: float
    stolen_seconds: float
    own_seconds: float
    by_process: dict[tuple[int, str], float]
    cpu_mhz: list[float]
    load_average: float


def take_snapshot() -> Snapshot:
    """Reads the counters: CPU seconds used by all, by us and our finished children, by each."""
    times = psutil.cpu_times()
    own = os.times()
    stolen = getattr(times, "steal", 0.0)
    return Snapshot(
        seconds=time.monotonic(),
        busy_seconds=sum(times) - times.idle - getattr(times, "iowait", 0.0) - stolen
        - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0),
        stolen_seconds=stolen,
        own_seconds=own.user + own.system + own.children_user + own.children_system,
        by_process=_seconds_by_process(),
        cpu_mhz=[each.current for each in psutil.cpu_freq(percpu=True) or []],
        load_average=os.getloadavg()[0],
    )  # fmt: skip


def describe(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Returns the `health` of a row: who else used the machine between two moments."""
    seconds = max(after.seconds - before.seconds, 1e-9)
    capacity = seconds * num_cpus()
    others = (after.busy_seconds - before.busy_seconds) - (after.own_seconds - before.own_seconds)
    stolen = after.stolen_seconds - before.stolen_seconds
    reasons = []
    if others / capacity > _NOISY_SHARE:
        reasons.append(f"other processes used {others / capacity:.0%} of the CPUs")
    if stolen / capacity > _NOISY_SHARE:
        reasons.append(f"the hypervisor took {stolen / capacity:.0%} of the CPUs")
    if before.cpu_mhz and sum(after.cpu_mhz) < _FREQUENCY_DROP * sum(before.cpu_mhz):
        reasons.append("the CPUs' clock fell by more than 10 %")
    gpus = _gpus()
    reasons += [f"{gpu['name']}: {gpu['throttled']}" for gpu in gpus if gpu["throttled"]]
    reasons += [f"{gpu['name']}: other users" for gpu in gpus if gpu["num_processes"]]
    return {
        "noisy": bool(reasons),
        "reasons": reasons,
        "load_average": before.load_average,
        "busy_processes": _busy(before, after, seconds),
        "cpu_mhz": after.cpu_mhz,
        "gpus": gpus,
    }


def _busy(before: Snapshot, after: Snapshot, seconds: float) -> list[dict[str, Any]]:
    used = {
        name: 100 * (total - before.by_process.get((pid, name), 0.0)) / seconds
        for (pid, name), total in after.by_process.items()
    }
    busy = [(percent, name) for name, percent in used.items() if percent > _BUSY_PERCENT]
    return [
        {"name": name, "cpu_percent": round(percent, 1)}
        for percent, name in sorted(busy, reverse=True)[:_MAX_NAMED]
    ]


def _seconds_by_process() -> dict[tuple[int, str], float]:
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times and process.pid != os.getpid():
            found[process.pid, process.info["name"]] = times.user + times.system
    return found


def _gpus() -> list[dict[str, Any]]:
    """Returns clocks, throttling and users of each GPU; empty without NVIDIA's library."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # Not installed, or no driver: there is nothing to say of GPUs.
        return []
    described = []
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        heat = (
            pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
            | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
            | pynvml.nvmlClocksThrottleReasonHwSlowdown
        )
        described.append(
            {
                "name": str(pynvml.nvmlDeviceGetName(handle)),
                "sm_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
                "throttled": "slowed down by heat or power" if reasons & heat else "",
                # Ours has ended by now.
                "num_processes": len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
            }
        )
    return described
