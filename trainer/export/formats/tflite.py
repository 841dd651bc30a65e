"""TensorFlow Lite, now LiteRT: converted by TensorFlow, run by the package ai-edge-litert.

Only LiteRT's own operations are allowed: its runtime has no others. The class names are appended
as a zip archive of labels.txt and flowrate.json, as LiteRT's page on metadata describes it
("associated files"): the file stays a flatbuffer for the runtime, and `unzip` reads the names.

int8 is full integer quantization. The converter can hand over a uint8 input only in place of a
float32 one, so it is given the model without the cast of pixels; the scale of the input must then
come out as 1, which it does if the calibration images reach from 0 to 255.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.export.interface import METADATA_FILE, Labels, Runtime, class_names_of

if TYPE_CHECKING:
    import keras

FILE = "model.tflite"
QUANTIZATIONS = ("none", "float16", "int8")
REQUIRES = ("ai_edge_litert",)
_SIGNATURE = "serving_default"


def write(
    model: keras.Model, path: Path, labels: Labels, quantize: str, images: np.ndarray | None
) -> None:
    """Writes the file; see trainer/export/formats/__init__.py."""
    path.write_bytes(_convert(model, path.parent, quantize, images))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in labels.files().items():
            archive.writestr(name, text)


def _convert(model: keras.Model, folder: Path, quantize: str, images: np.ndarray | None) -> bytes:
    import tensorflow as tf

    from trainer.export.formats.saved_model import write_archive

    with tempfile.TemporaryDirectory(dir=folder) as saved_model:
        write_archive(_of_float_images(model) if quantize == "int8" else model, Path(saved_model))
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, [_SIGNATURE])
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            assert images is not None  # To calibrate with.
            converter.representative_dataset = lambda: _calibration(images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
        return converter.convert()


def _of_float_images(model: keras.Model) -> keras.Model:
    """Returns the same layers behind an input of float32 pixels."""
    import keras

    images = keras.Input(model.input_shape[1:], dtype="float32", name="images")
    return keras.models.clone_model(model, input_tensors=images, clone_function=lambda layer: layer)


def _calibration(images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    images = images.astype(np.float32)
    # The whole range of pixels, at the price of two of them: see above.
    images[0].flat[[0, -1]] = 0, 255
    for image in images:
        yield {"images": image[None]}


def load(path: Path, threads: int) -> Runtime:
    """Loads the file; see trainer/export/formats/__init__.py."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    # Sets the number of rows anew for each call that has another.
    run = interpreter.get_signature_runner(_SIGNATURE)
    (image,) = interpreter.get_input_details()
    scale, zero = image["quantization"]  # 0, 0: not quantized.
    if image["dtype"] != np.uint8 or zero or not np.isclose(scale, [0, 1], rtol=1e-5).any():
        raise ValueError(f"its input is not pixels: {image['dtype']}, {image['quantization']}")

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = run(images=images)
        return outputs["logits"], outputs["probabilities"]

    with zipfile.ZipFile(path) as archive:
        names = class_names_of(archive.read(METADATA_FILE))
    return Runtime(f"LiteRT {version('ai-edge-litert')}", names, answer)
