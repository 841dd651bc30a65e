"""What a run directory tells, read for a report; no TensorFlow, no data set."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowrate.errors import RunDirError
from flowrate.records import read_json_lines
from trainer.trained.predictions import Predictions
from trainer.trained.run import TrainedRun, read_object
from trainer.trained.scores import Scores, score

_FIGURES = ("step", "epoch", "loss", "accuracy")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as its files describe it.

    Attributes:
        trained: config, plan and result.
        environment: environment.json; empty where it is absent.
        train_rows, evaluations: rows of metrics.jsonl by step. Of a run that ended before it logged
            a step, the one training row is that of result.json.
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
        result, environment = trained.result, trained.path / "environment.json"
        _check_result(trained.path / "result.json", result)
        rows = _read_rows(trained.path / "metrics.jsonl")
        final = {
            "kind": "train", "step": result.get("global_step"), "epoch": result.get("epochs"),
            "loss": result.get("train_loss"), "accuracy": result.get("train_accuracy"),
        }  # fmt: skip
        num_classes = len(trained.class_names)
        predictions = Predictions.read(trained.path, num_classes)
        return cls(
            trained=trained,
            environment=read_object(environment) if environment.exists() else {},
            train_rows=_of_kind(rows, "train") or _of_kind([final], "train"),
            evaluations=[
                row for row in _of_kind(rows, "evaluation") if isinstance(row.get("split"), str)
            ],
            predictions=predictions,
            scores=score(predictions, num_classes) if predictions else None,
        )


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return read_json_lines(path, lambda line: print(line, file=sys.stderr))
    except OSError as error:
        raise RunDirError(f"{path} is damaged ({error}).") from None


def _of_kind(rows: list[Any], kind: str) -> list[dict[str, Any]]:
    """Returns the rows of a kind that have the figures a report shows, by step."""
    found = [
        row
        for row in rows
        if isinstance(row, dict) and row.get("kind") == kind
        and all(_is_number(row.get(name)) for name in _FIGURES)
    ]  # fmt: skip
    return sorted(found, key=lambda row: row["step"])


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e15


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1e15


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


# What result.json of a completed run always holds, as far as a report shows it; and what it may.
_ALWAYS = {
    "test_accuracy": _is_share, "test_loss": _or_none(_is_number), "test_examples": _is_count,
    "global_batch_size": _is_count, "num_parameters": _is_count, "global_step": _is_count,
    "num_replicas": _is_count, "epochs": _is_number,
    "strategy": _is_text, "precision": _is_text, "cache": _is_text,
    "jit": lambda value: isinstance(value, bool),
    "seconds": lambda value: isinstance(value, dict) and all(
        _is_number(each) and each >= 0 for each in value.values()
    ),
}  # fmt: skip
_PERHAPS = {
    "status": _is_text, "error": _is_text,
    "train_accuracy": _or_none(_is_share), "train_loss": _or_none(_is_number),
    "train_accuracy_evaluated": _or_none(_is_share),
    "train_examples_evaluated": _or_none(_is_count),
    "steps_per_second": _or_none(_is_number),
    "warnings": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "weights": _or_none(
        lambda value: isinstance(value, dict) and {"tensors", "of", "source", "new"} <= value.keys()
    ),
}  # fmt: skip


def _check_result(path: Path, result: dict[str, Any]) -> None:
    """Raises RunDirError unless the fields of result.json are such as a run writes."""
    wrong = [
        name
        for name, is_right in (_ALWAYS | _PERHAPS).items()
        if name in result and not is_right(result[name])
    ]
    if result.get("status") == "completed":
        wrong += [name for name in _ALWAYS if name not in result]
    together = ("train_accuracy_evaluated", "train_accuracy", "train_examples_evaluated")
    if result.get(together[0]) is not None and None in map(result.get, together):
        wrong.append(together[0])
    if wrong:
        raise RunDirError(f"{path} is damaged: {', '.join(wrong)}.")
