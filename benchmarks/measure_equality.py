"""Trains the same twice, by one process with one replica and by a layout, and compares the two."""

from __future__ import annotations

import math
import os
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import equality
from benchmarks.measure.worker_group import run_alone, run_group
from input_pipelines import start_tensorflow
from trainer.config import TrainConfig

_PROGRAM = "benchmarks.recorded_training"
_BATCH_SIZE = 512


def measure_equality(flags: dict[str, Any], num_workers: int, num_replicas: int) -> dict[str, Any]:
    """Returns a row's part; its status is failed where a bound is broken.

    Args:
        flags: of the training, without what makes its layout.
        num_workers: processes.
        num_replicas: in each of them.

    Raises:
        ClusterError: one of the two trainings did not come to its end.
    """
    # On CPUs, which can be split; and GPUs compute convolutions with fewer bits than 1e-5 needs.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    folder = Path(flags.pop("run_dir")).parent
    layout = layout_flags(num_workers, num_replicas)
    phases, evidence = {}, {}
    for name, more, count in (("reference", {}, 1), ("layout", layout, num_workers)):
        started = time.perf_counter()
        _train(folder / name, {**flags, **more}, count)
        phases[name] = time.perf_counter() - started
        evidence[name] = _read(folder / name, flags)
    found, expected = evidence["layout"], evidence["reference"]
    metrics = equality.compare(found, expected)
    broken = equality.broken_bounds(metrics)
    return {
        "status": "failed" if broken else "ok",
        "error": f"not the same training: {'; '.join(broken)}" if broken else None,
        "labels": {
            **{name: value for name, value in flags.items() if name not in ("seed", "data_dir")},
            "num_workers": num_workers,
            "num_replicas": num_workers * num_replicas,
        },
        # JSON has no word for infinity: the reason says it.
        "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
        "samples": equality.as_samples(found, expected),
        "phases": phases,
        "command": _command({**flags, **layout}, num_workers),
    }


def layout_flags(num_workers: int, num_replicas: int) -> dict[str, Any]:
    """Returns the flags of trainer.main that make a layout, besides the number of processes."""
    strategy = "one_device" if num_replicas == 1 else "mirrored"
    flags = {"strategy": "multi_worker_mirrored" if num_workers > 1 else strategy}
    return {**flags, "virtual_devices": num_replicas} if num_replicas > 1 else flags


def _train(run_dir: Path, flags: dict[str, Any], num_workers: int) -> None:
    program = [_PROGRAM, *_words({**flags, "run_dir": run_dir})]
    if num_workers == 1:
        run_alone(program)
    else:
        run_group(program, run_dir, num_workers)


def _read(run_dir: Path, flags: dict[str, Any]) -> equality.Evidence:
    """Returns what a run has left, with what its saved model makes of the test split."""
    start_tensorflow.import_tensorflow()
    import keras

    from trainer.data import load_data

    test = load_data(TrainConfig(**flags)).sources["test"]
    model = keras.models.load_model(run_dir / "model.keras")
    images = np.array_split(test.images, math.ceil(len(test) / _BATCH_SIZE))
    logits = np.concatenate([np.asarray(model(batch, training=False)) for batch in images])
    return equality.read_evidence(run_dir, logits.argmax(axis=1), np.asarray(test.labels))


def _command(flags: dict[str, Any], num_workers: int) -> str:
    """Returns what a user types to train in this layout; the launcher knows the strategy."""
    flags = {name: value for name, value in flags.items() if name != "data_dir"}
    if num_workers == 1:
        return shlex.join(["python", "-m", "trainer.main", *_words(flags)])
    del flags["strategy"]
    return shlex.join(["scripts/launch", f"--workers={num_workers}", "--", *_words(flags)])


def _words(flags: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]
