"""From the records of a folder to predictions: fitted links, what they foretell, what was measured.

`python -m benchmarks.main predict DIR` prints them (prediction_tables.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scaling_model
from benchmarks.records import read_environments, read_results
from benchmarks.scaling_model import Link, Measured
from benchmarks.stated import RESNET50, Workload
from flowrate.errors import ConfigError
from input_pipelines.datasets import DATASETS
from models import MODELS

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Collective:
    """A measured all-reduce beside the fitted one.

    Attributes:
        shares_cores: there were more workers than cores for them: not what the link alone does.
        spread_seconds: interquartile range of the samples.
    """

    link: str
    num_workers: int
    num_bytes: int
    seconds: float
    spread_seconds: float
    shares_cores: bool

    @property
    def measured(self) -> Measured:
        return Measured(self.num_bytes, self.num_workers, self.seconds)


@dataclasses.dataclass(frozen=True)
class Step:
    """A measured step of several workers, and what the model makes of the step of one."""

    case: str
    link: str
    num_workers: int
    seconds: float
    predicted_seconds: float
    collective_seconds: float
    predicted_collective_seconds: float
    shares_cores: bool


def read_collectives(folder: str | Path) -> list[Collective]:
    """Returns the all-reduces that were measured, repeats together.

    Raises:
        ConfigError: there are none; says how to measure them.
        DataError: a row is not as it should be.
    """
    cpus = _num_cpus(folder)
    samples: dict[tuple[str, int, int], list[float]] = {}
    shares: dict[tuple[str, int, int], bool] = {}
    for row in _good(folder):
        if row["suite"] != "collectives":
            continue
        labels = row["labels"]
        for size, seconds in row["samples"]["all_reduce"]:
            key = (labels["link"], labels["num_workers"], size)
            samples.setdefault(key, []).extend(seconds)
            shares[key] = _over_subscription(row, cpus) > 1
    if not samples:
        raise ConfigError(
            f"{folder} holds no measured all-reduces; first run: python -m benchmarks.main run "
            f"--suite=collectives --output={folder}"
        )
    found = []
    for key, seconds in sorted(samples.items()):
        low, median, high = np.percentile(seconds, (25, 50, 75))
        found.append(Collective(*key, float(median), float(high - low), shares[key]))
    return found


def fit_links(collectives: Sequence[Collective]) -> dict[str, Link]:
    """Returns the link that fits best, by name.

    Workers that share cores wait for each other as they would not on machines of their own: they
    are left out where others were measured.
    """
    links = {}
    for name in dict.fromkeys(each.link for each in collectives):
        mine = [each for each in collectives if each.link == name]
        alone = [each for each in mine if not each.shares_cores]
        links[name] = scaling_model.fit_link([each.measured for each in alone or mine])
    return links


def compare_steps(folder: str | Path, links: dict[str, Link]) -> list[Step]:
    """Returns the measured steps of several workers beside the predicted ones.

    The computing is that of one worker's measured step with as many examples, a part of it where
    the work is shared out, and as many times longer as cores are shared.
    """
    cpus = _num_cpus(folder)
    rows = [row for row in _good(folder) if "link" in row["labels"] and row["suite"] == "scaling"]
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        labels = row["labels"]
        names = ("link", "dataset", "model", "scaling", "num_workers")
        groups.setdefault(tuple(labels[name] for name in names), []).append(row)
    found = []
    for (*kind, num_workers), group in sorted(groups.items()):
        alone = groups.get((*kind, 1))
        if num_workers == 1 or not alone or kind[0] not in links:
            continue
        busy = _over_subscription(group[0], cpus)
        part = 1 / num_workers if kind[3] == "strong" else 1.0
        compute = part * max(1.0, busy) / _median(alone, "steps_per_second")
        num_bytes = _median(group, "gradient_bytes_per_step")
        collective = scaling_model.ring_seconds(num_bytes, num_workers, links[kind[0]])
        found.append(
            Step(
                case="-".join(kind[1:]), link=kind[0], num_workers=num_workers,
                seconds=1 / _median(group, "steps_per_second"),
                predicted_seconds=scaling_model.step_seconds(compute, collective),
                collective_seconds=_median(group, "all_reduce_ms") / 1e3,
                predicted_collective_seconds=collective,
                shares_cores=busy > 1,
            )
        )  # fmt: skip
    return found


def workloads(folder: str | Path, names: Sequence[str] = ()) -> list[Workload]:
    """Returns resnet50 with its stated step, and the models whose step one replica has measured.

    Args:
        folder: whose records hold the steps.
        names: only these; all where empty.

    Raises:
        ConfigError: no step of a named model was measured.
    """
    found = {RESNET50.name: RESNET50}
    for row in _good(folder):
        model = row["labels"].get("model", "")
        is_one = row["labels"].get("num_replicas") == 1 and "steps_per_second" in row["metrics"]
        # Peers have steps of their own.
        if is_one and model in MODELS.names() and row["contender"] == "flowrate":
            found.setdefault(model, _measured_workload(row, folder))
    if missing := [name for name in names if name not in found]:
        raise ConfigError(
            f"{folder} holds no step of {missing[0]} on one replica; it has {', '.join(found)}. "
            "Run --suite=scaling or --suite=throughput with --models first."
        )
    return [workload for name, workload in found.items() if not names or name in names]


def num_gradient_values(workload: Workload) -> int:
    """Returns the number of trainable parameters, by building the model."""
    from input_pipelines import start_tensorflow

    start_tensorflow.import_tensorflow()
    from trainer.model.model import build_model

    model = build_model(workload.model, workload.num_classes, workload.image_shape)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def _measured_workload(row: Row, folder: str | Path) -> Workload:
    labels = row["labels"]
    info = DATASETS.load(labels["dataset"])[0].INFO
    alike = [
        other
        for other in _good(folder)
        if (other["suite"], other["case"], other["contender"])
        == (row["suite"], row["case"], row["contender"])
    ]
    return Workload(
        name=labels["model"],
        model=labels["model"],
        image_shape=info.image_shape,
        num_classes=len(info.class_names),
        batch_size=labels["global_batch_size"],
        compute_seconds=1 / _median(alike, "steps_per_second"),
        source=f"measured: {row['suite']}, {row['case']}",
    )


def _good(folder: str | Path) -> list[Row]:
    return [row for row in read_results(folder) if row["status"] == "ok"]


def _median(rows: Iterable[Row], metric: str) -> float:
    return float(np.median([row["metrics"][metric] for row in rows]))


def _num_cpus(folder: str | Path) -> dict[str, int]:
    """Returns the cores of each environment, by its id."""
    rows = read_environments(folder)
    return {name: row["cpu"].get("count") or 0 for name, row in rows.items()}


def _over_subscription(row: Row, cpus: dict[str, int]) -> float:
    """Returns how many cores the workers would need, over those there were; 0 with GPUs."""
    labels, count = row["labels"], cpus.get(row["environment_id"], 0)
    if labels.get("device") == "GPU" or not count:
        return 0.0
    return labels["num_workers"] * labels["cores_per_worker"] / count
