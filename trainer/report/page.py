"""The words and tables of report.html, about one run, and of comparison.html, about several."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.pages.drawing import Picture, phase_color
from flowrate.pages.page import page_environment
from trainer.config import TrainConfig
from trainer.model.weights import describe
from trainer.report.answers import calibration_picture, confusion_picture, examples_picture
from trainer.report.curves import describe_fit, overlaid_curves
from trainer.report.run_record import RunRecord
from trainer.run_dir.launches import describe_starts
from trainer.trained.scores import Scores

_FOLDER = Path(__file__).parent
_NOTHING = "\N{EN DASH}"


def render_page(record: RunRecord, curves: Sequence[Picture], answers: Sequence[Picture]) -> str:
    """Returns report.html; every text of the records is escaped."""
    trained, scores = record.trained, record.scores
    return page_environment(_FOLDER).get_template("report.html.jinja").render(
        title=f"{trained.config.dataset}, {trained.model}",
        name=record.name,
        outcome=_outcome(record),
        command=_command(record),
        facts=_facts(record),
        fit=describe_fit(record),
        curves=curves,
        answers=answers,
        classes=scores.to_json(trained.class_names)["classes"] if scores else [],
        confused=_most_confused(scores, trained.class_names) if scores else [],
        phases=_phases(record.result),
        flags=_flags(trained.config),
        environment={key.replace("_", " "): _text(record.environment[key])
                     for key in record.environment},
    )  # fmt: skip


def render_comparison(records: Sequence[RunRecord]) -> str:
    """Returns comparison.html: the best test accuracy first; every text is escaped."""
    ordered = sorted(records, key=lambda record: -(record.result.get("test_accuracy") or 0.0))
    counts = Counter(record.name for record in ordered)
    names = [  # With the folder above where the name alone is not enough.
        record.name if counts[record.name] == 1 else "/".join(record.trained.path.parts[-2:])
        for record in ordered
    ]
    best = ordered[0].result.get("test_accuracy")
    datasets = sorted({record.trained.config.dataset for record in ordered})
    if best is None:
        outcome = "None of these runs has completed."
    elif len(datasets) > 1:
        outcome = f"Of different data sets ({', '.join(datasets)}): accuracies do not compare."
    else:
        outcome = f"{names[0]} is best, with a test accuracy of {best:.2%}."
    return page_environment(_FOLDER).get_template("comparison.html.jinja").render(
        names=names,
        rows=[_row(name, record) for name, record in zip(names, ordered)],
        outcome=outcome,
        curves=overlaid_curves(ordered, names),
        commands=[(name, _command(record)) for name, record in zip(names, ordered)],
    )  # fmt: skip


def answer_pictures(record: RunRecord) -> list[Picture]:
    """Returns the pictures of what the model answered; empty where the run kept no answers."""
    predictions, scores = record.predictions, record.scores
    if predictions is None or scores is None:
        return []
    names, wrong = record.trained.class_names, int((~predictions.is_right).sum())
    pictures = [confusion_picture(scores.confusion, names)]
    for which, name, title, note in (
        (slice(0, predictions.num_samples), "samples", "Sample predictions",
         "Test examples spread over the split, with the three most probable classes."),
        (slice(predictions.num_samples, None), "mistakes", "Most confident mistakes",
         f"The worst of {wrong:,} wrong answers: those the model was surest of. Look for wrong "
         "labels here too."),
    ):  # fmt: skip
        if len(shown := predictions.shown[which]):
            images, probabilities = predictions.images[which], predictions.probabilities[which]
            labels = predictions.labels[shown]
            pictures.append(
                examples_picture(name, title, note, images, probabilities, names, labels)
            )
    return [*pictures, calibration_picture(scores.calibration)]


def _command(record: RunRecord) -> str:
    """Returns the command of the run, as a shell takes it."""
    command = record.environment.get("command")
    if isinstance(command, str) and " -m " in command:
        return f"python -m {command.partition(' -m ')[2]}"
    flags = _flags(record.trained.config)
    return shlex.join(["python", "-m", "trainer.main", *(f"--{n}={v}" for n, v in flags)])


def _outcome(record: RunRecord) -> list[str]:
    result, scores = record.result, record.scores
    status = result.get("status")
    if status is None:
        return ["The run has not ended; what it has logged so far is shown."]
    if status != "completed":
        return [f"{status.capitalize()}: {result.get('error')}"]
    lines = [
        f"Test accuracy {result['test_accuracy']:.2%} of {result['test_examples']:,} examples, "
        f"loss {_figure(result['test_loss'], '.4f')}.",
        *result.get("warnings", ()),
    ]
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
    facts = [
        ("run", str(trained.path)),
        ("data set", f"{trained.config.dataset}, {len(trained.class_names)} classes"),
        ("images", " x ".join(map(str, trained.image_shape))),
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


def _row(name: str, record: RunRecord) -> dict[str, Any]:
    result, scores = record.result, record.scores
    seconds = result.get("seconds")
    return {
        "name": name,
        "status": result.get("status", "not ended"),
        "cells": [
            record.trained.config.dataset,
            record.trained.model,
            _figure(result.get("num_parameters"), ",d"),
            _figure(result.get("epochs"), ".4g"),
            _figure(result.get("test_accuracy"), ".4f"),
            _figure(result.get("test_loss"), ".4f"),
            _figure(scores.macro_f1 if scores else None, ".4f"),
            _figure(scores.calibration.expected_error if scores else None, ".4f"),
            _figure(result.get("train_accuracy"), ".4f"),
            _figure(result.get("steps_per_second"), ",.1f"),
            _figure(sum(seconds.values()) if seconds else None, ",.0f"),
        ],
    }


def _figure(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)


def _most_confused(scores: Scores, class_names: Sequence[str]) -> list[tuple[str, str, int]]:
    """Returns up to ten (true class, predicted class, examples), most first."""
    mistakes = scores.confusion - np.diag(np.diag(scores.confusion))
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:10]
    places = zip(*np.unravel_index(worst, mistakes.shape))
    return [(class_names[i], class_names[j], mistakes[i, j]) for i, j in places if mistakes[i, j]]


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


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    return " ".join(map(_text, value)) if isinstance(value, list) else str(value)
