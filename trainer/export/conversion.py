"""One conversion, and what is said where a converter fails."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np

from flowrate.errors import DiskError, ExportError, OutOfMemoryError, as_out_of_resources
from trainer.export.config import ExportConfig
from trainer.export.failing_layer import find_failing_layer
from trainer.export.labels import Labels


def convert(
    config: ExportConfig,
    model: keras.Model,
    path: Path,
    labels: Labels,
    images: np.ndarray | None,
) -> None:
    """Writes the file.

    Raises:
        ExportError: the converter cannot take the model; names the layer.
        OutOfMemoryError: the converter needs more than there is.
        OSError: the file cannot be written.
    """
    write = config.format_module().write
    try:
        with warnings.catch_warnings():
            # Converters warn of their own libraries' future.
            warnings.simplefilter("ignore")
            write(model, path, labels, config.quantize, images)
    except OSError:
        raise
    except Exception as error:
        out_of = as_out_of_resources(error)
        if isinstance(out_of, DiskError):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if out_of:
            raise OutOfMemoryError(f"out of memory on the way to {config.format}.") from error
        raise ExportError(_explain(error, config, model, path, labels, images)) from error


def _explain(error: Exception, config: ExportConfig, model, path: Path, labels, images) -> str:
    trial = path.parent / "trial"

    def try_part(part: keras.Model) -> None:
        trial.mkdir()
        try:
            write = config.format_module().write
            write(part, trial / path.name, labels, config.quantize, images)
        finally:
            shutil.rmtree(trial)

    layer = find_failing_layer(model, try_part)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "error:" in line), (lines or [""])[0])[:200]
    where = f"the layer {layer.name} ({type(layer).__name__})" if layer else "the model as a whole"
    return (
        f"the converter to {config.format} cannot take {where}: {type(error).__name__}: {reason}; "
        "choose another --format, or --quantize=none."
    )
