"""A trained run's model, filled from a checkpoint; and a split evaluated with it."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from flowrate.environment import describe_cpu
from flowrate.errors import RunDirError
from input_pipelines.source import Source
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.distributed.strategy import build_strategy, configure_devices, is_on_gpu
from trainer.engine.evaluator import Evaluator
from trainer.engine.inputs import keep_decoded
from trainer.engine.jit import choose_jit
from trainer.engine.state import TrainState, build_state
from trainer.model.model import build_model
from trainer.plan import is_frozen_after
from trainer.trained.inference import plain_model, predict_split
from trainer.trained.predictions import Predictions
from trainer.trained.run import TrainedRun

_PREFIX = "model/"


def load_model(trained: TrainedRun, checkpoint: Checkpoint) -> keras.Model:
    """Returns the model, uint8 [N, *trained.image_shape] -> logits [N, classes], in the precision
    it was trained in, with the weights to judge it by (averages, where they are kept).

    It lies on one device: the GPU, else the CPU. Devices are set up here: call it before any other
    TensorFlow operation.

    Raises:
        ConfigError: the model cannot take images of this shape.
        RunDirError: the checkpoint is of another model.
    """
    config = dataclasses.replace(
        trained.config, strategy="one_device", virtual_devices=0, tpu_name=None
    )
    configure_devices(config)
    state = _restored_state(config, trained, checkpoint, tf.distribute.get_strategy())
    return plain_model(trained.model, len(trained.class_names), state)


def evaluate_split(
    config: TrainConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    source: Source,
) -> tuple[dict[str, float], Predictions]:
    """Returns {"accuracy", "loss", "examples"} as training computes them, and the predictions.

    Raises:
        ConfigError, DataError, RunDirError: as build_state and Evaluator do.
    """
    configure_devices(config)
    strategy = build_strategy(config)
    num_replicas = strategy.num_replicas_in_sync
    state = _restored_state(config, trained, checkpoint, strategy)
    jit = choose_jit(
        config, state.model, num_replicas, is_on_gpu(), describe_cpu()["flags"], trained.total_steps
    )
    _, kept = keep_decoded(config.cache, {"asked": source}, trained.image_shape, num_replicas)
    figures = Evaluator(state, config.micro_batch_size, jit.compile_evaluation)(kept["asked"])
    model = plain_model(trained.model, len(trained.class_names), state)
    return figures, predict_split(model, kept["asked"])


def _restored_state(
    config: TrainConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    strategy: tf.distribute.Strategy,
) -> TrainState:
    """Returns the run's model and optimizer as a checkpoint has them."""
    _check_weights(trained, checkpoint)
    is_frozen = is_frozen_after(checkpoint.progress.step, trained.unfreeze_step)
    state, _ = build_state(
        config, trained, strategy, trained.total_steps, is_frozen, trained.unfreeze_step
    )
    state.restore(checkpoint)
    return state


def _check_weights(trained: TrainedRun, checkpoint: Checkpoint) -> None:
    """Raises RunDirError unless the checkpoint holds the weights of the run's model.

    A folder may name a model and an image size that need any amount of memory. Within a
    StatelessScope Keras builds the layers but makes no values, so that the shapes can be compared
    with the arrays, which were read and have a size that the file really has.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = build_model(trained.model, len(trained.class_names), trained.image_shape)
    wanted = [tuple(weight.shape) for weight in model.weights]
    names = sorted(name for name in checkpoint.arrays if name.startswith(_PREFIX))
    if wanted != [checkpoint.arrays[name].shape for name in names]:
        raise RunDirError(
            f"{trained.path}: the checkpoint of step {checkpoint.progress.step} does not hold the "
            f"weights of {trained.model} for {len(trained.class_names)} classes and images of "
            f"{' x '.join(map(str, trained.image_shape))}."
        )
