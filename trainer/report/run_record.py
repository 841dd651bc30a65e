"""What a run directory tells, read for a report; no TensorFlow, no data set."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from flowrate.errors import RunDirError
from flowrate.records import read_json_lines
from trainer.trained.predictions import Predictions
from trainer.trained.run import TrainedRun, read_object
from trainer.trained.scores import Scores, score


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as its files describe it.

    Attributes:
        trained: config, plan and result.
        environment: environment.json; empty where it is absent.
        train_rows, evaluations: rows of metrics.jsonl by step.
        predictions: of the test split at the end; None where the run made none.
        scores: of those.
    """

    trained: TrainedRun
    environment: dict[str, Any]
    train_rows: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    predictions: Predictions | None
    scores: Scores | None

    @property
    def name(self) -> str:
        return self.trained.path.name

    @property
    def result(self) -> dict[str, Any]:
        return self.trained.result

    @property
    def split(self) -> str:
        """The split evaluated while training: validation where there is one, else test."""
        return self.evaluations[-1]["split"] if self.evaluations else "test"

    @classmethod
    def read(cls, folder: str | Path) -> RunRecord:
        """Reads a run directory.

        Raises:
            RunDirError: it is no run directory, or damaged.
        """
        trained = TrainedRun.open(folder)
        environment = trained.path / "environment.json"
        rows = _read_rows(trained.path / "metrics.jsonl")
        num_classes = len(trained.class_names)
        predictions = Predictions.read(trained.path, num_classes)
        return cls(
            trained=trained,
            environment=read_object(environment) if environment.exists() else {},
            train_rows=_of_kind(rows, "train", ("step", "epoch", "loss", "accuracy")),
            evaluations=_of_kind(rows, "evaluation", ("step", "epoch", "loss", "accuracy")),
            predictions=predictions,
            scores=score(predictions, num_classes) if predictions else None,
        )


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return read_json_lines(path, lambda line: print(line, file=sys.stderr))
    except OSError as error:
        raise RunDirError(f"{path} is damaged ({error}).") from None


def _of_kind(rows: list[Any], kind: str, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns the rows of a kind that have the figures a report shows, by step."""
    found = [
        row
        for row in rows
        if isinstance(row, dict) and row.get("kind") == kind
        and all(type(row.get(name)) in (int, float) for name in needed)
    ]  # fmt: skip
    return sorted(found, key=lambda row: row["step"])
