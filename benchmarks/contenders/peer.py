"""Starts the peers on the data that we train on, and turns what they say into a row's part."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import DEFAULT_BATCH_SIZE, BenchmarkCase
from benchmarks.statistics import step_percentiles
from flowrate import processes
from flowrate.records import read_json
from input_pipelines.fetch.download import cache_folder

PACKAGES = ("torch", "jax", "optax")
_EXPORT_TIMEOUT_SECONDS = 600


def command(case: BenchmarkCase, seed: int, answer_path: Path) -> list[str] | str:
    """Returns the command that measures a peer, or, in words, why there is none."""
    if case.flags.get("augmentation", "none") != "none" and not case.arguments.get("augments"):
        return "this peer has no augmentation"
    data = _export_data(case, seed)
    if "error" in data:
        return data["error"]
    words = [sys.executable, "-m", case.arguments["module"], *case.arguments.get("options", ())]
    values = {
        "data": data["folder"] if case.arguments.get("reads_folder") and data["folder"]
        else data["arrays"],
        "model": case.flags["model"],
        "epochs": case.flags["epochs"],
        "global_batch_size": case.flags.get("global_batch_size", DEFAULT_BATCH_SIZE),
        "seed": seed,
        "precision": case.flags.get("precision", "float32").removeprefix("mixed_"),
        "augmentation": case.flags.get("augmentation", "none"),
        "output": answer_path,
        **case.arguments.get("values", {}),
    }  # fmt: skip
    return words + [f"--{name}={value}" for name, value in values.items()]


def as_row(
    case: BenchmarkCase, seed: int, answer: dict[str, Any], wall_seconds: float
) -> dict[str, Any]:
    """Returns a row's part for what a peer wrote (benchmarks/peers).

    The first epoch holds tracing and compiling, so the rate is that of the others.
    """
    segments = answer["segments"]
    counted = segments[1:] or segments
    steps, seconds = (sum(column) for column in zip(*counted))
    batch_size = case.flags.get("global_batch_size", DEFAULT_BATCH_SIZE)
    percentiles = step_percentiles(counted)
    metrics = {
        "steps": sum(segment[0] for segment in segments),
        "steps_per_second": steps / seconds,
        "images_per_second": steps * batch_size / seconds,
        "step_p50_ms": percentiles.p50,
    }
    values = case.arguments.get("values", {})
    if not values:  # The whole work was done.
        metrics |= {
            "epoch_seconds": seconds / len(counted),
            "test_accuracy": answer["test_accuracy"],
        }
    words = [
        f"--{name}={value}" for name, value in {"model": case.flags["model"], **values}.items()
    ]
    return {
        "status": "ok",
        "error": None,
        "wall_seconds": wall_seconds,
        "labels": {
            "dataset": case.flags["dataset"],
            "model": case.flags["model"],
            "global_batch_size": batch_size,
            "epochs": case.flags["epochs"],
            "precision": case.flags.get("precision", "float32"),
            "augmentation": case.flags.get("augmentation", "none"),
            **values,
        },
        "command": shlex.join(
            ["python", "-m", case.arguments["module"], *case.arguments.get("options", ()),
             "--data=...", *words]
        ),
        "metrics": metrics,
        "samples": {"warmup": segments[:1] if segments[1:] else [], "segments": counted},
        "phases": answer["phases"],
    }  # fmt: skip


def _export_data(case: BenchmarkCase, seed: int) -> dict[str, str]:
    """Writes our data set for the peers, once; returns where, or {"error": why not}."""
    flags = {
        name: case.flags[name]
        for name in ("dataset", "data_dir", "image_size", "validation_examples")
        if name in case.flags
    }
    if flags.get("validation_examples"):  # The seed decides which examples are held out.
        flags["seed"] = seed
    name = "-".join(str(value).replace("/", "_") for value in flags.values())
    place = cache_folder("peer_data") / f"{name}.json"
    if not place.exists():
        words = [f"--{name}={value}" for name, value in flags.items()]
        ended = processes.run(
            [sys.executable, "-m", "benchmarks.contenders.peer_data", str(place), *words],
            timeout_seconds=_EXPORT_TIMEOUT_SECONDS,
            cwd=Path(__file__).resolve().parents[2],
        )
        if ended.exit_code != 0:
            return {"error": processes.last_line(ended.output)[:500] or ended.how()}
    return read_json(place)
