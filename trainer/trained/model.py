"""The model of a trained run on one device: its GPU, else the CPU."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from trainer.checkpoints.store import Checkpoint
from trainer.distributed.strategy import configure_devices
from trainer.trained.inference import plain_model
from trainer.trained.run import TrainedRun
from trainer.trained.state import restored_state


def load_model(trained: TrainedRun, checkpoint: Checkpoint) -> keras.Model:
    """Returns the model, uint8 [N, *trained.image_shape] -> logits [N, classes], in the precision
    it was trained in, with the weights to judge it by (averages, where they are kept).

    Devices are set up here: call it before any other TensorFlow operation.

    Raises:
        ConfigError: the model cannot take images of this shape.
        RunDirError: the checkpoint is of another model.
    """
    config = dataclasses.replace(
        trained.config, strategy="one_device", virtual_devices=0, tpu_name=None
    )
    configure_devices(config)
    state = restored_state(config, trained, checkpoint, tf.distribute.get_strategy())
    return plain_model(trained.model, len(trained.class_names), state)
