"""Export from the checkpoint to a folder in its place, checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import Progress

from flowrate.environment import describe_environment, num_cpus
from flowrate.errors import ExportError
from flowrate.records import disk_errors, write_json
from flowrate.text import masked
from input_pipelines.cache import apply_tier
from input_pipelines.source import Source
from trainer.checkpoints.store import Checkpoint
from trainer.data import TrainingData
from trainer.export import verify
from trainer.export.calibration import choose_examples
from trainer.export.config import ExportConfig
from trainer.export.conversion import convert
from trainer.export.folder import (
    RECORD_FILE,
    put_in_place,
    rejected,
    size_bytes,
    temporary_folder,
)
from trainer.export.labels import Labels
from trainer.export.model import in_float32, with_probabilities
from trainer.export.parity import Parity
from trainer.trained.inference import batches_of, logits_function, read_images
from trainer.trained.model import load_model
from trainer.trained.run import TrainedRun

SCHEMA_VERSION = 1
_NUM_LATENCY_IMAGES = 64
_PACKAGES = ("ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")


def export(
    config: ExportConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    data: TrainingData,
    output: Path,
) -> dict[str, Any]:
    """Exports, checks and puts in place; returns what export.json says (docs/records.md).

    Args:
        config: what was asked for.
        trained: the run.
        checkpoint: with the weights.
        data: of the run, for calibration and the check.
        output: the folder.

    Raises:
        ExportError: the converter or the runtime cannot take the model, or accuracy falls by more
            than config allows; what was written is then in `rejected(output)`.
        DiskError: the folder cannot be written.
    """
    # On any machine the same: a GPU's float32 is rounded otherwise.
    tf.config.set_visible_devices([], "GPU")
    model = in_float32(load_model(trained, checkpoint), trained)
    labels = Labels(trained.class_names, trained.image_shape, trained.model)
    with temporary_folder(output) as folder:
        path = folder / config.format_module().FILE
        images = None
        if config.quantize == "int8":
            images = _calibration_images(config, trained, data)
        with disk_errors(output):
            convert(config, with_probabilities(model), path, labels, images)
            for name, text in labels.files().items():
                (folder / name).write_text(text, encoding="utf-8")
        # Arrays of another size are brought to the model's, as in training.
        test = apply_tier(data.sources["test"], "none", trained.image_shape)
        parity, measured = _check(config, model, path, labels, test)
        accepted = parity.is_within(config.largest_fall)
        record = {
            "schema_version": SCHEMA_VERSION,
            "status": "accepted" if accepted else "rejected",
            "run_dir": str(trained.path),
            "step": checkpoint.progress.step,
            "dataset": trained.config.dataset,
            "model": trained.model,
            "trained_precision": trained.config.precision,
            "format": config.format,
            "quantize": config.quantize,
            "calibration_examples": 0 if images is None else len(images),
            "file": path.name,
            "size_bytes": size_bytes(path),
            "tolerance": config.largest_fall,
            **parity.to_json(),
            **measured,
            "environment": _environment(),
        }
        write_json(folder / RECORD_FILE, record)
        put_in_place(folder, output if accepted else rejected(output))
    if not accepted:
        raise ExportError(
            f"accuracy falls from {record['accuracy_before']:.4f} to "
            f"{record['accuracy_after']:.4f}, by more than --tolerance={config.largest_fall:g}; "
            f"what was written is in {rejected(output)}."
        )
    return record


def _environment() -> dict[str, Any]:
    command = masked(shlex.join([sys.executable, "-m", "trainer.export", *sys.argv[1:]]))
    return {**describe_environment(sys.argv, _PACKAGES), "command": command}


def _calibration_images(
    config: ExportConfig, trained: TrainedRun, data: TrainingData
) -> np.ndarray:
    source = data.sources["train"]
    chosen = choose_examples(source.labels, config.calibration_examples, trained.config.seed)
    return read_images(source, chosen, trained.image_shape)


def _check(
    config: ExportConfig, model: keras.Model, path: Path, labels: Labels, source: Source
) -> tuple[Parity, dict[str, Any]]:
    """Runs the file in a process of its own over a split, beside the trained model."""
    threads = num_cpus()
    answer = logits_function(model)
    parity = Parity()
    log = path.with_suffix(".log")
    with verify.ExportedModel(config.format, path, threads, log) as exported:
        runtime, class_names = exported.load()
        if class_names != labels.class_names:
            raise ExportError(f"{path.name} tells other class names: {', '.join(class_names)}.")
        for images, batch_labels in _with_bar(_batches(source, labels.image_shape), source):
            parity.add(batch_labels, answer(images).numpy(), exported.answer(images))
        few = np.arange(min(_NUM_LATENCY_IMAGES, len(source)))
        latencies = exported.latencies_ms(read_images(source, few, labels.image_shape))
    log.unlink(missing_ok=True)
    p50, p99 = np.percentile(latencies, [50, 99])
    return parity, {
        "runtime": runtime,
        "threads": threads,
        "latency_ms": {
            "p50": float(p50),
            "p99": float(p99),
            "calls": len(latencies),
            "warmup_calls": verify.NUM_WARMUP_CALLS,
        },
    }


def _with_bar(batches: Iterator, source: Source) -> Iterator:
    """Yields (images, labels); shows on a terminal how far it is."""
    with Progress(
        *Progress.get_default_columns(), console=Console(stderr=True), transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:  # fmt: skip
        task = progress.add_task("test split", total=len(source))
        for images, labels in batches:
            yield images, labels
            progress.advance(task, len(labels))


def _batches(
    source: Source, shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (uint8 [N, *shape], int32 [N]) over all examples in order; the last may be smaller."""
    position = 0
    for images in batches_of(source, shape):
        labels = source.labels[position : position + len(images)]
        if len(labels):
            yield images.numpy()[: len(labels)], labels
        position += len(images)
