"""Measures the rate at which several processes train, from outside."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from benchmarks.case import DEFAULT_BATCH_SIZE
from benchmarks.machine.pinning import cores_per_worker
from benchmarks.measure import workers_rate
from benchmarks.measure.worker_group import run_group
from benchmarks.statistics import step_percentiles
from flowrate.environment import num_cpus, num_gpus
from flowrate.records import read_json

# Of the step's time; from here on the collective is what holds it back.
_LARGE_SHARE = 0.5


def measure_workers_rate(
    flags: dict[str, Any], seconds: float, num_workers: int, link: str
) -> dict[str, Any]:
    """Returns a row's part: the rate of several workers, and what their exchange costs.

    The share is measured within the very steps (StepResults.exchange_seconds), in the chief: with
    the wait for a slower worker.

    Args:
        flags: of the training.
        seconds: how long the rate is measured.
        num_workers: processes.
        link: what joins them, one of worker_group.LINKS.

    Raises:
        ClusterError: a worker failed.
    """
    run_dir, num_cores = Path(flags["run_dir"]), cores_per_worker()
    words = [f"--{name}={value}" for name, value in flags.items()]
    strategy = "--strategy=multi_worker_mirrored"
    program = ["benchmarks.measure.workers_rate", str(seconds), str(num_cores), strategy, *words]
    run_group(program, run_dir, num_workers, link)
    answer = read_json(run_dir / workers_rate.ANSWER)
    metrics = _metrics(answer, flags.get("global_batch_size", DEFAULT_BATCH_SIZE))
    words = [word for word in words if not word.startswith(("--run_dir=", "--data_dir="))]
    return {
        "labels": {**answer["labels"], "link": link, "cores_per_worker": num_cores},
        "metrics": metrics,
        "samples": {name: answer[name] for name in ("warmup", "segments", "limit_beside")},
        "verdict": _verdict(metrics, num_workers, num_cores),
        "command": shlex.join(["scripts/launch", f"--workers={num_workers}", "--", *words]),
    }


def _metrics(answer: dict[str, Any], batch_size: int) -> dict[str, float]:
    rate = answer["steps_per_second"]
    steps, seconds = map(sum, zip(*answer["limit_beside"]))
    percentiles = step_percentiles(answer["segments"])
    limit = steps / seconds
    return {
        "steps_per_second": rate,
        "images_per_second": rate * batch_size,
        "limit_steps_per_second": limit,
        "efficiency": rate / limit,
        "step_p50_ms": percentiles.p50,
        "step_p90_ms": percentiles.p90,
        "step_p99_ms": percentiles.p99,
        "gradient_bytes_per_step": answer["gradient_bytes_per_step"],
        "exchange_ms": 1e3 * answer["exchange_share"] / rate,
        "exchange_share": answer["exchange_share"],
    }


def _verdict(metrics: dict[str, float], num_workers: int, num_cores: int) -> dict[str, Any]:
    share = metrics["exchange_share"]
    if not num_gpus() and num_workers * num_cores > num_cpus():
        each = f"{num_cores} core{'s' * (num_cores > 1)}"
        text = f"{num_workers} workers of {each} each share {num_cpus()} cores"
        return {"bound": "host", "text": text, "flag": None}
    if share > _LARGE_SHARE:
        text = f"{share:.0%} of a step is the exchange; a larger batch makes it rarer"
        return {"bound": "collective", "text": text, "flag": None}
    text = f"{share:.0%} of a step is the exchange" if share else "one worker exchanges nothing"
    return {"bound": "compute", "text": text, "flag": None}
