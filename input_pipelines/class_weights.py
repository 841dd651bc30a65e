"""`--class_weights`: what the loss of an example is multiplied by, by its class. No TensorFlow.

The loss of a step is sum(weight * loss) / global_batch_size, as with Keras's `class_weight`: the
weights are not divided by their sum over the batch, so that a step is the sum of what each replica
and worker makes of its rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import ConfigError, nearest_name
from flowrate.records import read_json
from input_pipelines.source import Source

NONE, BALANCED = "none", "balanced"
_EXAMPLE = '{"cat": 2, "dog": 0.5}'
_LEAST, _MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def class_weights(asked: str, train: Source) -> tuple[float, ...] | None:
    """Returns the weights in label order; None where none were asked for.

    Args:
        asked: none; balanced, N / (C * n) for a class of n of the N examples, where C classes have
            examples, so that the mean over the training split is 1; or the name of a JSON file.
        train: the training split.

    Raises:
        ConfigError: the file cannot be read, or does not give each class a positive number.
    """
    if asked == NONE:
        return None
    if asked == BALANCED:
        counts = np.bincount(train.labels, minlength=len(train.class_names))
        num_classes = np.count_nonzero(counts)
        # A class without examples is no example's.
        return tuple(len(train) / (num_classes * n) if n else 1.0 for n in counts.tolist())
    given = _read(asked)
    if unknown := sorted(given.keys() - set(train.class_names)):
        near = nearest_name(unknown[0], train.class_names)
        raise ConfigError(
            f"--class_weights={asked}: the data set has no class {unknown[0]!r}.{near}"
        )
    for name in train.class_names:
        if name not in given:
            raise ConfigError(
                f"--class_weights={asked}: no weight for {name!r}; give one for each class."
            )
        value = given[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not _LEAST <= value <= _MOST:
            raise ConfigError(
                f"--class_weights={asked}: {str(value)[:40]} for {name!r} is no weight; give a "
                "positive finite number."
            )
    return tuple(float(given[name]) for name in train.class_names)


def _read(asked: str) -> dict[str, Any]:
    try:
        given = read_json(Path(asked).expanduser())
        if isinstance(given, dict):
            return given
        reason = "is no JSON object"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except ValueError:
        reason = "is no JSON"
    near = nearest_name(asked, (NONE, BALANCED))
    raise ConfigError(
        f"--class_weights={asked}: {reason}; give {NONE}, {BALANCED} or a JSON file, as in "
        f"{_EXAMPLE}.{near}"
    )
