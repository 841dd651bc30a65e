"""TensorFlow as the runtime of an export."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def import_for_cpu(threads: int):
    """Imports TensorFlow, bound to so many threads of the CPU, and returns it."""
    from input_pipelines.start_tensorflow import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def as_answer(call: Callable) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns uint8 images -> (logits, probabilities) of a callable that gives both by name."""

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = call(images)
        return outputs["logits"].numpy(), outputs["probabilities"].numpy()

    return answer
