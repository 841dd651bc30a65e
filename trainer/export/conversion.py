"""One conversion; where the converter fails, the layer that it cannot take."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowrate.errors import DiskError, ExportError, OutOfMemoryError, as_out_of_resources
from trainer.export.config import ExportConfig
from trainer.export.interface import Labels

if TYPE_CHECKING:
    import keras


def convert(
    config: ExportConfig, model: keras.Model, path: Path, labels: Labels, images: np.ndarray | None
) -> None:
    """Writes the file.

    Raises:
        ExportError: the converter cannot take the model; names the layer.
        OutOfMemoryError: the converter needs more than there is.
        OSError: the file cannot be written.
    """

    def write(part: keras.Model, target: Path) -> None:
        config.format_module().write(part, target, labels, config.quantize, images)

    try:
        with warnings.catch_warnings():
            # Converters warn of their own libraries' future.
            warnings.simplefilter("ignore")
            write(model, path)
    except OSError:
        raise
    except Exception as error:
        out_of = as_out_of_resources(error)
        if isinstance(out_of, DiskError):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if out_of:
            raise OutOfMemoryError(f"out of memory on the way to {config.format}.") from error

        def try_part(part: keras.Model) -> None:
            with tempfile.TemporaryDirectory(dir=path.parent) as trial:
                write(part, Path(trial, path.name))

        layer = _find_failing_layer(model, try_part)
        where = f"the layer {layer.name} ({type(layer).__name__})" if layer else "the whole model"
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "error:" in line), (lines or [""])[0])[:200]
        raise ExportError(
            f"the converter to {config.format} cannot take {where}: {type(error).__name__}: "
            f"{reason}; choose another --format, or --quantize=none."
        ) from error


def _find_failing_layer(
    model: keras.Model, try_part: Callable[[keras.Model], None]
) -> keras.Layer | None:
    """Returns the first layer up to which a model cannot be converted; None where all of it can.

    By bisection: a part that holds the layer fails, any that does not is converted, so that about
    log2(layers) conversions tell.

    Args:
        model: a functional model.
        try_part: raises where it cannot convert.
    """
    import keras

    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]

    def fails(count: int) -> bool:
        outputs = [layer.output for layer in layers[:count]]
        try:
            try_part(keras.Model(model.inputs, outputs))
        except Exception:
            return True
        return False

    low, high = 0, len(layers)  # The first `low` layers convert, the first `high` do not.
    if not fails(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return layers[low]
