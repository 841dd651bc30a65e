"""SavedModel: a folder for tf.saved_model.load and TensorFlow Serving.

Signatures: `serving_default`, images -> logits and probabilities; `class_names`,
nothing -> the names as UTF-8 strings. labels.txt and flowrate.json lie in assets.extra/, which
TensorFlow leaves to users.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.export.interface import Labels, Runtime

if TYPE_CHECKING:
    import keras

FILE = "saved_model"
QUANTIZATIONS = ("none",)
REQUIRES = ()


def write(
    model: keras.Model, path: Path, labels: Labels, quantize: str, images: np.ndarray | None
) -> None:
    """Writes the folder; see trainer/export/formats/__init__.py."""
    write_archive(model, path, labels.class_names)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in labels.files().items():
        (extra / name).write_text(text, encoding="utf-8")


def write_archive(model: keras.Model, path: Path, class_names: tuple[str, ...] = ()) -> None:
    """Writes a SavedModel of the model, in inference mode."""
    import tensorflow as tf

    images = model.inputs[0]
    serve = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec(images.shape, images.dtype, name="images")],
        autograph=False,
    )
    signatures = {"serving_default": serve}
    if class_names:
        names = [name.encode("utf-8", "surrogateescape") for name in class_names]
        signatures["class_names"] = tf.function(
            lambda: {"class_names": tf.constant(names)}, input_signature=[], autograph=False
        )
    # Not by keras.export.ExportArchive, which keeps every weight twice (Keras 3.15).
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(path), signatures=signatures)


def load(path: Path, threads: int) -> Runtime:
    """Loads the folder; see trainer/export/formats/__init__.py."""
    from trainer.export.formats._tensorflow import as_answer, import_for_cpu

    tf = import_for_cpu(threads)
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    names = loaded.signatures["class_names"]()["class_names"].numpy()
    return Runtime(
        f"TensorFlow {tf.__version__}",
        tuple(name.decode("utf-8", "surrogateescape") for name in names),
        as_answer(lambda images: serve(images=tf.constant(images))),
    )
