"""Starts the peers on the data that we train on, and turns what they say into a row's part."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import DEFAULT_BATCH_SIZE, BenchmarkCase
from flowrate import processes
from flowrate.environment import CHECKOUT
from flowrate.records import read_json
from input_pipelines.fetch.download import cache_folder

_EXPORT_TIMEOUT_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Peer:
    """What a user would take instead: a module of this package with its options.

    Attributes:
        module: its name.
        options: on its command line.
        needs: packages that it imports.
        reads_folder: it takes a folder of class folders as it is.
        augments: it can do the tutorials' augmentation.
    """

    module: str
    options: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    reads_folder: bool = False
    augments: bool = False

    @property
    def program(self) -> list[str]:
        return ["-m", f"{__package__}.{self.module}", *self.options]


PEERS = {
    "keras_fit": Peer("keras_fit", reads_folder=True, augments=True),
    "torch_eager": Peer("torch_loop", needs=("torch",)),
    "torch_compiled": Peer("torch_loop", ("--compiled",), needs=("torch",)),
    "jax_scan": Peer("jax_scan", needs=("jax", "optax")),
}


def command(case: BenchmarkCase, seed: int, answer_path: Path) -> list[str] | str:
    """Returns the command that measures a peer, or a message that says why there is none."""
    peer, augmentation = PEERS[case.contender], case.flags.get("augmentation", "none")
    if augmentation != "none" and not peer.augments:
        return "this peer has no augmentation"
    data = _export_data(case, seed)
    if "error" in data:
        return data["error"]
    values = {
        "data": data["folder"] if peer.reads_folder and data["folder"] else data["arrays"],
        "model": case.flags["model"],
        "epochs": case.flags["epochs"],
        "global_batch_size": _batch_size(case),
        "seed": seed,
        "precision": case.flags.get("precision", "float32").removeprefix("mixed_"),
        "augmentation": augmentation,
        "output": answer_path,
        **case.arguments,
    }
    return [sys.executable, *peer.program, *_flags(values)]


def as_row(case: BenchmarkCase, answer: dict[str, Any], wall_seconds: float) -> dict[str, Any]:
    """Returns a row's part for what a peer wrote.

    The first epoch holds tracing and compiling, so the rate is that of the others.
    """
    from benchmarks.statistics import step_percentiles  # scipy, which lists of cases do without.

    segments = answer["segments"]
    counted = segments[1:] or segments
    steps, seconds = map(sum, zip(*counted))
    metrics = {
        "steps": sum(segment[0] for segment in segments),
        "steps_per_second": steps / seconds,
        "images_per_second": steps * _batch_size(case) / seconds,
        "step_p50_ms": step_percentiles(counted).p50,
    }
    if not case.arguments:  # The whole work was done.
        metrics |= {
            "epoch_seconds": seconds / len(counted),
            "test_accuracy": answer["test_accuracy"],
        }
    shown = {"data": "...", "model": case.flags["model"], **case.arguments}
    return {
        "status": "ok",
        "error": None,
        "wall_seconds": wall_seconds,
        "labels": {
            "dataset": case.flags["dataset"],
            "model": case.flags["model"],
            "global_batch_size": _batch_size(case),
            "epochs": case.flags["epochs"],
            "precision": case.flags.get("precision", "float32"),
            "augmentation": case.flags.get("augmentation", "none"),
            **case.arguments,
        },
        "command": shlex.join(["python", *PEERS[case.contender].program, *_flags(shown)]),
        "metrics": metrics,
        "samples": {"warmup": segments[:1] if segments[1:] else [], "segments": counted},
        "phases": answer["phases"],
    }


def _batch_size(case: BenchmarkCase) -> int:
    return case.flags.get("global_batch_size", DEFAULT_BATCH_SIZE)


def _flags(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _export_data(case: BenchmarkCase, seed: int) -> dict[str, str]:
    """Writes our data set for the peers, once; returns where, or {"error": why not}."""
    names = ("dataset", "data_dir", "image_size", "validation_examples")
    flags = {name: case.flags[name] for name in names if name in case.flags}
    if flags.get("validation_examples"):  # The seed decides which examples are held out.
        flags["seed"] = seed
    name = "-".join(str(value).replace("/", "_") for value in flags.values())
    place = cache_folder("peer_data") / f"{name}.json"
    if not place.exists():
        ended = processes.run(
            [sys.executable, "-m", f"{__package__}.data", str(place), *_flags(flags)],
            timeout_seconds=_EXPORT_TIMEOUT_SECONDS,
            cwd=CHECKOUT,
        )
        if ended.exit_code != 0:
            return {"error": processes.last_line(ended.output)[:500] or ended.how()}
    return read_json(place)
