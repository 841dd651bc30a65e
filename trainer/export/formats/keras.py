"""`.keras`: Keras's own file, loaded by keras.models.load_model in its safe mode.

It is a zip archive; Keras reads its own members and leaves others alone (Keras 3.15), so the class
names lie in it as flowrate.json and labels.txt.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.export.interface import METADATA_FILE, Labels, Runtime, class_names_of

if TYPE_CHECKING:
    import keras

FILE = "model.keras"
QUANTIZATIONS = ("none",)
REQUIRES = ()


def write(
    model: keras.Model, path: Path, labels: Labels, quantize: str, images: np.ndarray | None
) -> None:
    """Writes the file; see trainer/export/formats/__init__.py."""
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in labels.files().items():
            archive.writestr(name, text)


def load(path: Path, threads: int) -> Runtime:
    """Loads the file; see trainer/export/formats/__init__.py."""
    from trainer.export.formats._tensorflow import as_answer, import_for_cpu

    tf = import_for_cpu(threads)
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    call = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)],
        autograph=False,
    )
    with zipfile.ZipFile(path) as archive:
        names = class_names_of(archive.read(METADATA_FILE))
    return Runtime(f"Keras {keras.__version__}", names, as_answer(call))
