"""TensorFlow, loaded the same way by every program."""

from __future__ import annotations

import os
from pathlib import Path

from flowrate.lean_imports import without_optional_packages
from flowrate.native_log import divert_native_stderr


def quiet_tensorflow() -> None:
    """Prepares TensorFlow's import for a command without a run of its own: no log is kept."""
    set_tensorflow_defaults()
    divert_native_stderr(Path(os.devnull))


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras as a run does, so that later imports find them."""
    set_tensorflow_defaults()
    with without_optional_packages():
        import keras  # noqa: F401 (TensorFlow comes with it)


def set_tensorflow_defaults() -> None:
    """Sets what TensorFlow reads from the environment while it loads; the user's own values win."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow leaves oneDNN off on CPUs without AVX512-VNNI, yet its convolutions are faster
    # there too: on 2 cores of an AMD EPYC 7003, steps/s of cnn x1.3, cnn5x5 x1.6, flowers_cnn x1.9.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
