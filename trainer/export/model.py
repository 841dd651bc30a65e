"""The trained model as it is exported: float32, logits and probabilities, images as they come."""

from __future__ import annotations

import keras

from trainer.model.model import build_model
from trainer.trained.run import TrainedRun


def in_float32(model: keras.Model, trained: TrainedRun) -> keras.Model:
    """Returns the model of a run built to compute in float32; its weights are float32 already."""
    keras.mixed_precision.set_dtype_policy("float32")
    built = build_model(trained.model, len(trained.class_names), trained.image_shape)
    built.set_weights(model.get_weights())
    return built


def with_probabilities(model: keras.Model) -> keras.Model:
    """Returns the model with both outputs by name: {"logits", "probabilities"}."""
    (logits,) = model.outputs
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    outputs = {"logits": logits, "probabilities": probabilities}
    return keras.Model(model.inputs[0], outputs, name=model.name)
