"""What no program that trains with TensorFlow can go below: its import, one model, one traced step.

python -m benchmarks.peers.import_and_trace --model=mlp --side=8 --output=FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import psutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main() -> None:
    """Writes {"first_step_seconds": since the start of the process}."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    import keras
    import tensorflow as tf

    from models import MODELS

    module, _ = MODELS.load(arguments.model)
    model = module.build_model(10, (arguments.side, arguments.side, 1))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [each.value for each in variables]), variables)
        return loss

    images = tf.zeros([32, arguments.side, arguments.side, 1], tf.uint8)
    step(images, tf.zeros([32], tf.int32)).numpy()
    seconds = time.time() - psutil.Process().create_time()
    Path(arguments.output).write_text(json.dumps({"first_step_seconds": seconds}))


if __name__ == "__main__":
    main()
