"""Export from the checkpoint to a folder in its place, checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rich.progress
from rich.console import Console

from flowrate.environment import describe_environment, num_cpus
from flowrate.errors import ExportError
from flowrate.records import disk_errors, write_json
from flowrate.text import masked
from input_pipelines.source import Source
from trainer.checkpoints.store import Checkpoint
from trainer.export import verify
from trainer.export.config import ExportConfig
from trainer.export.conversion import convert
from trainer.export.folder import (
    RECORD_FILE,
    put_in_place,
    rejected,
    size_bytes,
    temporary_folder,
)
from trainer.export.interface import Labels
from trainer.export.parity import Parity
from trainer.trained.run import TrainedRun

if TYPE_CHECKING:
    import keras

SCHEMA_VERSION = 1
_NUM_LATENCY_IMAGES = 64
_PACKAGES = ("ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")


def export(
    config: ExportConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    sources: dict[str, Source],
    output: Path,
) -> dict[str, Any]:
    """Exports, checks and puts in place; returns what export.json says (docs/records.md).

    Args:
        config: what was asked for.
        trained: the run.
        checkpoint: with the weights.
        sources: the splits of the run's data set, for calibration and the check.
        output: the folder.

    Raises:
        ExportError: the converter or the runtime cannot take the model, or accuracy falls by more
            than config allows; what was written is then in `rejected(output)`.
        DiskError: the folder cannot be written.
    """
    from input_pipelines.cache import apply_tier
    from trainer.trained.inference import read_images

    model = _load_in_float32(trained, checkpoint)
    labels = Labels(trained.class_names, trained.image_shape, trained.model)
    with temporary_folder(output) as folder:
        path = folder / config.format_module().FILE
        images = None
        if config.quantize == "int8":
            source, count = sources["train"], config.calibration_examples
            chosen = choose_examples(source.labels, count, trained.config.seed)
            images = read_images(source, chosen, trained.image_shape)
        with disk_errors(output):
            convert(config, _with_probabilities(model), path, labels, images)
            for name, text in labels.files().items():
                (folder / name).write_text(text, encoding="utf-8")
        # Arrays of another size are brought to the model's, as in training.
        test = apply_tier(sources["test"], "none", trained.image_shape)
        parity, measured = _check(config, model, path, labels, test)
        accepted = parity.is_within(config.largest_fall)
        command = masked(shlex.join([sys.executable, "-m", "trainer.export", *sys.argv[1:]]))
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
            "environment": {**describe_environment(sys.argv, _PACKAGES), "command": command},
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


def choose_examples(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns int64 [M] indices of examples drawn at random, as many of each class as can be.

    M is `count`, or the number of examples where that is less. A class with fewer examples gives
    them all, and the others make up for it.

    Args:
        labels: int32 [N].
        count: examples wanted.
        seed: decides the draw.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    of_class = labels[shuffled]
    turns = np.empty(len(labels), np.int64)
    for label in np.unique(of_class):
        members = np.flatnonzero(of_class == label)
        turns[members] = np.arange(len(members))
    # The first example of each class, then the second of each, and so on.
    return shuffled[np.argsort(turns, kind="stable")[:count]]


def _load_in_float32(trained: TrainedRun, checkpoint: Checkpoint) -> keras.Model:
    """Returns the model of a run, built to compute in float32; its weights are float32 already."""
    import keras
    import tensorflow as tf

    from trainer.model.model import build_model
    from trainer.trained.model import load_model

    # On any machine the same: a GPU's float32 is rounded otherwise.
    tf.config.set_visible_devices([], "GPU")
    weights = load_model(trained, checkpoint).get_weights()
    keras.mixed_precision.set_dtype_policy("float32")
    model = build_model(trained.model, len(trained.class_names), trained.image_shape)
    model.set_weights(weights)
    return model


def _with_probabilities(model: keras.Model) -> keras.Model:
    """Returns the model with both outputs by name: {"logits", "probabilities"}."""
    import keras

    (logits,) = model.outputs
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    outputs = {"logits": logits, "probabilities": probabilities}
    return keras.Model(model.inputs[0], outputs, name=model.name)


def _check(
    config: ExportConfig, model: keras.Model, path: Path, labels: Labels, source: Source
) -> tuple[Parity, dict[str, Any]]:
    """Runs the file in a process of its own over a split, beside the trained model."""
    from trainer.trained.inference import logits_function, read_images

    threads = num_cpus()
    answer = logits_function(model)
    parity = Parity()
    log = path.with_suffix(".log")
    with verify.ExportedModel(config.format, path, threads, log) as exported:
        runtime, class_names = exported.load()
        if class_names != labels.class_names:
            raise ExportError(f"{path.name} tells other class names: {', '.join(class_names)}.")
        for images, batch_labels in _batches(source, labels.image_shape):
            parity.add(batch_labels, answer(images).numpy(), exported.answer(images))
        few = np.arange(min(_NUM_LATENCY_IMAGES, len(source)))
        latencies = exported.latencies_ms(read_images(source, few, labels.image_shape))
    log.unlink(missing_ok=True)
    p50, p99 = np.percentile(latencies, [50, 99]).tolist()
    latency = {"p50": p50, "p99": p99, "calls": len(latencies),
               "warmup_calls": verify.NUM_WARMUP_CALLS}  # fmt: skip
    return parity, {"runtime": runtime, "threads": threads, "latency_ms": latency}


def _batches(
    source: Source, shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (uint8 [N, *shape], int32 [N]) over all examples in order; the last may be smaller.

    A terminal shows how far it is.
    """
    from trainer.trained.inference import batches_of

    position, total = 0, len(source)
    with rich.progress.Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task("test split", total=total)
        for images in batches_of(source, shape):
            labels = source.labels[position : position + len(images)]
            if len(labels):
                yield images.numpy()[: len(labels)], labels
            position += len(images)
            progress.update(task, completed=min(position, total))
