"""Evaluates a trained run: `python -m trainer.evaluate runs/mine --split=test`.

Accuracy and loss come from the evaluation that training itself uses, with the same replicas,
precision and compiler, so that they are the same to the last digit; the rest from the answer to
each example.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import ConfigError
from flowrate.options import option
from flowrate.records import to_json
from input_pipelines.start_tensorflow import import_tensorflow, quiet_tensorflow
from trainer.config import TrainConfig
from trainer.trained.run import FINAL, TrainedRun, only_folder

if TYPE_CHECKING:
    from rich.table import Table

USAGE = """Evaluates a trained run, exactly: every example once.

    python -m trainer.evaluate RUN_DIR [--flag=value ...]"""

_GROUP = "Evaluation"
# What one process can be: a run of several workers is evaluated on the devices of one.
_HERE = ("one_device", "mirrored", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to evaluate."""

    split: str = option("test", group=_GROUP, help="Of the data set: test, train or validation.")
    dataset: str | None = option(
        None, group=_GROUP, help="Another data set with the same classes; unset: the run's own."
    )
    data_dir: str | None = option(
        None, group=_GROUP, help="Folder with the data set's files; unset: the run's own."
    )
    strategy: str | None = option(
        None, group=_GROUP, choices=_HERE, help="unset: the run's own, or one_device."
    )
    checkpoint: str = option(
        FINAL, group=_GROUP,
        help="final (what result.json tells of), best (of the evaluations), latest, or a step.",
    )  # fmt: skip
    json: bool = option(False, group=_GROUP, help="Print JSON in place of tables.")

    def __post_init__(self):
        options.check(self)


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, EvaluateConfig, USAGE, _evaluate)


def _evaluate(config: EvaluateConfig, words: list[str]) -> None:
    found = evaluate(TrainedRun.open(only_folder(words)), config)
    if config.json:
        print(to_json(found), end="")
    else:
        _show(found)


def evaluate(trained: TrainedRun, config: EvaluateConfig) -> dict[str, Any]:
    """Returns the figures of a split, JSON-able; see docs/records.md.

    Raises:
        ConfigError, DataError, RunDirError: what was asked for does not fit the run.
    """
    checkpoint = trained.checkpoint(config.checkpoint)
    asked = _training_config(trained, config)
    quiet_tensorflow()
    from trainer.data import load_data_of

    data = load_data_of(trained, asked)
    if config.split not in data.sources:
        raise ConfigError(f"--split={config.split}: the data set has {', '.join(data.sources)}.")
    import_tensorflow()
    from trainer.trained.model import evaluate_split
    from trainer.trained.scores import score

    figures, predictions = evaluate_split(asked, trained, checkpoint, data.sources[config.split])
    return {
        "schema_version": 1,
        "run_dir": str(trained.path),
        "dataset": asked.dataset,
        "split": config.split,
        "step": checkpoint.progress.step,
        **score(predictions, len(trained.class_names)).to_json(trained.class_names),
        **figures,
    }


def _training_config(trained: TrainedRun, config: EvaluateConfig) -> TrainConfig:
    """Returns the run's config, for this data set on these devices."""
    asked = trained.config
    strategy = config.strategy or (asked.strategy if asked.strategy in _HERE else _HERE[0])
    # Weights of classes are of training alone: their file need not be there any more.
    changes: dict[str, Any] = {"strategy": strategy, "class_weights": "none"}
    if strategy == "one_device":
        changes["virtual_devices"] = 0
    if strategy != "tpu":
        changes["tpu_name"] = None
    if config.dataset and config.dataset != asked.dataset:
        changes |= {"dataset": config.dataset, "data_dir": None, "columns": None,
                    "validation_examples": 0,
                    "early_stopping_patience": 0, "augmentation": "none"}  # fmt: skip
        if trained.image_shape[0] == trained.image_shape[1]:
            changes["image_size"] = trained.image_shape[0]
    if config.data_dir:
        changes["data_dir"] = config.data_dir
    return dataclasses.replace(asked, **changes)


def _show(found: dict[str, Any]) -> None:
    import rich

    print(f"{found['run_dir']}, step {found['step']:,}, on {found['dataset']} {found['split']}")
    for name, value in (
        ("accuracy", f"{found['accuracy']:.4f} ({found['examples']:,} examples)"),
        *([("top 5", f"{found['top_5_accuracy']:.4f}")] if found["top_5_accuracy"] else []),
        ("loss", f"{found['loss']:.4f}"),
        ("macro F1", f"{found['macro_f1']:.4f}"),
    ):
        print(f"{name:<10}{value}")
    rich.print(class_table(found))


def class_table(found: dict[str, Any]) -> Table:
    import rich.box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=rich.box.SIMPLE_HEAD)
    table.add_column("class")
    for name in ("examples", "precision", "recall", "F1", "most often taken for"):
        table.add_column(name, justify="left" if " " in name else "right")
    for index, row in enumerate(found["classes"]):
        mistakes = {
            count: other["name"]
            for other, count in zip(found["classes"], found["confusion_matrix"][index])
            if other is not row and count
        }
        worst = f"{mistakes[max(mistakes)]} ({max(mistakes)})" if mistakes else ""
        table.add_row(
            # Text: a name may look like rich's markup.
            Text(row["name"]), f"{row['examples']:,}", f"{row['precision']:.4f}",
            f"{row['recall']:.4f}", f"{row['f1']:.4f}", Text(worst),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv))
