"""report.html of one run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrate.pages.drawing import Picture, phase_color
from flowrate.pages.page import page_environment
from trainer.config import TrainConfig
from trainer.model.weights import describe
from trainer.report.answers import calibration_picture, confusion_picture, examples_picture
from trainer.report.curves import describe_fit
from trainer.report.run_record import RunRecord
from trainer.run_dir.launches import describe_starts
from trainer.trained.predictions import Predictions
from trainer.trained.scores import Scores

_TEMPLATE = "report.html.jinja"


def render_page(record: RunRecord, curves: Sequence[Picture], answers: Sequence[Picture]) -> str:
    """Returns the page; every text of the records is escaped."""
    trained, scores = record.trained, record.scores
    return page_environment(Path(__file__).parent).get_template(_TEMPLATE).render(
        title=f"{trained.config.dataset}, {trained.model}",
        name=record.name,
        outcome=_outcome(record),
        command=command_of(record),
        facts=_facts(record),
        fit=describe_fit(record),
        curves=curves,
        answers=answers,
        classes=_class_rows(scores, trained.class_names) if scores else [],
        confused=_most_confused(scores, trained.class_names) if scores else [],
        phases=_phases(record.result),
        flags=_flags(trained.config),
        environment=_environment(record.environment),
    )  # fmt: skip


def answer_pictures(record: RunRecord) -> list[Picture]:
    """Returns the pictures of what the model answered; empty where the run kept no answers."""
    predictions, scores = record.predictions, record.scores
    if predictions is None or scores is None:
        return []
    names = record.trained.class_names
    pictures = [
        confusion_picture(scores.confusion, names),
        _examples(predictions, names, slice(0, predictions.num_samples), "samples",
                  "Sample predictions",
                  "Test examples spread over the split, with the three most probable classes."),
    ]  # fmt: skip
    mistakes = slice(predictions.num_samples, None)
    if len(predictions.shown) > predictions.num_samples:
        wrong = int((~predictions.is_right).sum())
        pictures.append(
            _examples(predictions, names, mistakes, "mistakes", "Most confident mistakes",
                      f"The worst of {wrong:,} wrong answers: those the model was surest of. Look "
                      "for wrong labels here too.")
        )  # fmt: skip
    return [*pictures, calibration_picture(scores.calibration)]


def command_of(record: RunRecord) -> str:
    """Returns the command of the run, as a shell takes it."""
    command = record.environment.get("command")
    if isinstance(command, str) and " -m " in command:
        return f"python -m {command.partition(' -m ')[2]}"
    flags = _flags(record.trained.config)
    return shlex.join(["python", "-m", "trainer.main", *(f"--{n}={v}" for n, v in flags)])


def _examples(
    predictions: Predictions, class_names, which: slice, name: str, title: str, note: str
) -> Picture:
    shown = predictions.shown[which]
    return examples_picture(
        name, title, note, predictions.images[which], predictions.probabilities[which],
        class_names, predictions.labels[shown],
    )  # fmt: skip


def _outcome(record: RunRecord) -> list[str]:
    result, scores = record.result, record.scores
    status = result.get("status")
    if status is None:
        return ["The run has not ended; what it has logged so far is shown."]
    if status != "completed":
        return [f"{str(status).capitalize()}: {result.get('error')}"]
    lines = [
        f"Test accuracy {result['test_accuracy']:.2%} of {result['test_examples']:,} examples, "
        f"loss {result['test_loss']:.4f}."
    ]
    lines += result.get("warnings", ())
    if scores:
        top = f", top-5 accuracy {scores.top_5_accuracy:.2%}" if scores.top_5_accuracy else ""
        lines.append(
            f"Macro F1 {scores.macro_f1:.4f}{top}, expected calibration error "
            f"{scores.calibration.expected_error:.4f}."
        )
    if result.get("steps_per_second"):
        lines.append(
            f"{result['steps_per_second']:,.1f} steps/s of {result['global_batch_size']} examples; "
            f"{sum(result['seconds'].values()):,.0f} s in all."
        )
    return lines


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    trained, result = record.trained, record.result
    height, width, channels = trained.image_shape
    facts = [
        ("run", str(trained.path)),
        ("data set", f"{trained.config.dataset}, {len(trained.class_names)} classes"),
        ("images", f"{height} x {width} x {channels}"),
        ("model", trained.model),
    ]
    if result.get("status") == "completed":
        facts += [
            ("parameters", f"{result['num_parameters']:,}"),
            ("trained", f"{result['global_step']:,} steps, {result['epochs']:.4g} epochs"),
            ("strategy", f"{result['strategy']}, replicas: {result['num_replicas']}"),
            ("precision", f"{result['precision']}; XLA {'on' if result['jit'] else 'off'}; "
                          f"cache {result['cache']}"),
        ]  # fmt: skip
        if result.get("weights"):
            frozen = f"; frozen: {trained.config.freeze}" if trained.config.freeze != "none" else ""
            facts.append(("weights", describe(result["weights"]) + frozen))
        if starts := describe_starts(result):
            facts.append(("starts", starts))
    return facts


def _class_rows(scores: Scores, class_names) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "examples": f"{int(scores.confusion[i].sum()):,}",
            "precision": f"{scores.precision[i]:.4f}",
            "recall": f"{scores.recall[i]:.4f}",
            "f1": f"{scores.f1[i]:.4f}",
        }
        for i, name in enumerate(class_names)
    ]


def _most_confused(scores: Scores, class_names) -> list[tuple[str, str, int]]:
    """Returns up to ten (true class, predicted class, examples), most first."""
    mistakes = [
        (int(count), row, column)
        for (row, column), count in zip(
            ((r, c) for r in range(len(class_names)) for c in range(len(class_names))),
            scores.confusion.ravel(),
        )
        if row != column and count
    ]
    mistakes.sort(key=lambda each: -each[0])
    return [(class_names[row], class_names[column], n) for n, row, column in mistakes[:10]]


def _phases(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the phases that took time, longest first: name, seconds, share, colour."""
    seconds = {name: value for name, value in result.get("seconds", {}).items() if value > 0}
    total = sum(seconds.values())
    return [
        {
            "name": name.replace("_", " "), "seconds": f"{value:,.2f}",
            "share": value / total, "color": phase_color(name, list(seconds)),
        }
        for name, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]  # fmt: skip


def _flags(config: TrainConfig) -> list[tuple[str, Any]]:
    """Returns the flags that differ from their defaults."""
    return [
        (field.name, getattr(config, field.name))
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    ]


def _environment(environment: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _text(value)) for name, value in environment.items()]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return str(value)
