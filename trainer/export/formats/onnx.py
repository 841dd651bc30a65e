"""ONNX: converted by Keras through tf2onnx, run by onnxruntime.

float16 and int8 come from the tools that onnxruntime brings: weights and activations in float16,
or static quantization (QDQ) with the ranges that calibration images show, weights per channel.
Weights get 7 of the 8 bits (`reduce_range`): x86 CPUs without VNNI add products of 8 bits in 16,
which overflow silently. Measured on such a CPU, digits and the model cnn, mean |difference| of a
logit over the test split: 0.50 with 8 bits, 0.054 with 7.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.export.interface import METADATA_FILE, Labels, Runtime, class_names_of

if TYPE_CHECKING:
    import keras
    import onnx

FILE = "model.onnx"
QUANTIZATIONS = ("none", "float16", "int8")
REQUIRES = ("onnx", "onnxruntime", "tf2onnx")
_CALIBRATION_ROWS = 16


def write(
    model: keras.Model, path: Path, labels: Labels, quantize: str, images: np.ndarray | None
) -> None:
    """Writes the file; see trainer/export/formats/__init__.py."""
    import keras
    import onnx

    # An operation that it cannot take, it tells there; the checker below refuses it.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    signature = keras.InputSpec(shape=model.input_shape, dtype="uint8", name="images")
    model.export(path, format="onnx", verbose=False, input_signature=[signature])
    if quantize == "int8":
        assert images is not None  # To calibrate with.
        _quantize(path, images)
    converted = onnx.load(path)
    if quantize == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        converted = convert_float_to_float16(converted, keep_io_types=True)
    _free_batch(converted.graph)
    metadata = {METADATA_FILE: labels.metadata(), "class_names": labels.lines()}
    onnx.helper.set_model_props(converted, metadata)
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


def _quantize(path: Path, images: np.ndarray) -> None:
    """Quantizes the file, in its place."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            starts = range(0, len(images), _CALIBRATION_ROWS)
            self._batches = iter([images[start : start + _CALIBRATION_ROWS] for start in starts])

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"images": batch}

    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def _free_batch(graph: onnx.GraphProto) -> None:
    """Names the first side of the inputs and outputs, in place of a number made up for it."""
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"


def load(path: Path, threads: int) -> Runtime:
    """Loads the file; see trainer/export/formats/__init__.py."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path, sess_options=options, providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(session.run(["logits", "probabilities"], {"images": images}))

    name = f"ONNX Runtime {onnxruntime.__version__}"
    return Runtime(name, class_names_of(metadata[METADATA_FILE]), answer)
