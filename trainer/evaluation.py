"""A split evaluated with a trained model: the figures of training, and the logits of each example."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from flowrate.environment import describe_cpu
from input_pipelines._blocks import evaluation_blocks
from input_pipelines._source import Source
from trainer import blocks, scores
from trainer.build import build_state, keep_decoded
from trainer.checkpoints import Checkpoint
from trainer.config import TrainConfig
from trainer.data import TrainingData
from trainer.evaluator import Evaluator
from trainer.jit import choose_jit
from trainer.state import TrainState
from trainer.strategy import build_strategy, configure_devices, is_on_gpu
from trainer.trained import TrainedRun


def evaluate_split(
    config: TrainConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    data: TrainingData,
    split: str,
) -> tuple[dict[str, float], scores.Scores]:
    """Returns {"accuracy", "loss", "examples"} as training computes them, and the scores.

    Args:
        config: of the run, for the devices here.
        trained: the run.
        checkpoint: with the weights.
        data: that the model takes.
        split: of the data.

    Raises:
        ConfigError, DataError, RunDirError: as build_state and Evaluator do.
    """
    configure_devices(config)
    strategy = build_strategy(config)
    state, _ = build_state(config, trained, strategy, trained.total_steps)
    state.restore(checkpoint)
    jit = choose_jit(
        config, state.model, strategy.num_replicas_in_sync, is_on_gpu(), describe_cpu()["flags"],
        trained.total_steps,
    )  # fmt: skip
    _, sources = keep_decoded(config, data, strategy.num_replicas_in_sync)
    source = sources[split]
    figures = Evaluator(state, config.global_batch_size, jit.compile_evaluation)(source)
    with state.weights_to_evaluate():
        logits = predict_logits(state, source)
    return figures, scores.score(logits, source.labels)


def predict_logits(state: TrainState, source: Source) -> np.ndarray:
    """Returns float32 [N, classes] for the N examples of a source, in order."""
    shape = state.model.input_shape[1:]
    batch_size = blocks.evaluation_batch_size(shape, 1)
    steps = blocks.evaluation_block_steps(len(source), batch_size, shape)
    predict = tf.function(
        lambda images: tf.cast(state.model(images, training=False), tf.float32), autograph=False
    )
    found = [
        predict(images).numpy()
        for block in evaluation_blocks(
            source, shape, global_batch_size=batch_size, steps_per_block=steps
        )
        for images in block["images"]
    ]
    return np.concatenate(found)[: len(source)]
