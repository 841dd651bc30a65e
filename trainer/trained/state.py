"""The state of a trained run, from its checkpoint, checked before anything is allocated."""

from __future__ import annotations

import keras
import tensorflow as tf

from flowrate.errors import RunDirError
from trainer.checkpoints.store import Checkpoint
from trainer.config import TrainConfig
from trainer.engine.state import TrainState, build_state
from trainer.model.model import build_model
from trainer.plan import is_frozen_after
from trainer.trained.run import TrainedRun

_PREFIX = "model/"


def restored_state(
    config: TrainConfig,
    trained: TrainedRun,
    checkpoint: Checkpoint,
    strategy: tf.distribute.Strategy,
) -> TrainState:
    """Returns the run's model and optimizer as a checkpoint has them.

    Args:
        config: of the run, for the devices here.
        trained: the run.
        checkpoint: of it.
        strategy: over those devices.

    Raises:
        ConfigError: the model cannot take images of this shape.
        RunDirError: the checkpoint is of another model.
    """
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
