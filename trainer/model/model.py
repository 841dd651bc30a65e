"""A model of the catalog, checked: it must be what training takes, uint8 images to logits."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any, Protocol

import keras

from flowrate.errors import ConfigError
from models import MODELS

_PROBABILITIES = ("softmax", "sigmoid")


class ModelOfData(Protocol):
    """What says which model is meant, and for which data: TrainingData, or a TrainedRun."""

    @property
    def model(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def image_shape(self) -> tuple[int, int, int]: ...


def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds a model of the catalog by its name: uint8 [N, *image_shape] -> logits.

    Raises:
        ConfigError: no such model, it cannot take images of this shape, or its file is wrong.
    """
    module, argument = MODELS.load(name)
    with MODELS.blaming(name):
        model = module.build_model(num_classes, image_shape, *([argument] if argument else []))
    _check_model(name, module, model, num_classes, image_shape)
    return model


def _check_model(
    name: str, module: ModuleType, model: Any, num_classes: int, image_shape: tuple[int, int, int]
) -> None:
    """Checks the model that `module.build_model` has returned.

    Args:
        name: as the user gave it.
        module: the file it comes from.
        model: what it returned.
        num_classes: length of its logits.
        image_shape: (height, width, channels) of its images.

    Raises:
        ConfigError: it is no model of known shapes from [N, *image_shape] to [N, num_classes], or
            gives probabilities in the place of logits.
    """
    if problem := _problem(model, num_classes, image_shape):
        _, line = inspect.getsourcelines(module.build_model)
        path = inspect.getsourcefile(module.build_model)
        raise ConfigError(f"--model={name}: {path}:{line}: build_model returns {problem}")


def _problem(model: Any, num_classes: int, image_shape: tuple[int, int, int]) -> str | None:
    """Returns what is wrong with a model and what to do, or None."""
    if not isinstance(model, keras.Model):
        return f"{type(model).__name__}; it must return a keras.Model."
    try:
        given, found = model.input_shape, model.output_shape
    except AttributeError:  # A model of one's own class, or a Sequential without an Input.
        return (
            f"{type(model).__name__}, whose shapes are not known before it is called; return "
            "keras.Model(images, logits), or begin with keras.Input."
        )
    if given != (None, *image_shape):
        return f"a model of inputs {given}; the images are {[None, *image_shape]}."
    if found != (None, num_classes):
        return (
            f"a model of outputs {found}; it must give one logit for each of {num_classes} "
            f"classes: {[None, num_classes]}."
        )
    layer, kind = _last_operation(model)
    if kind in _PROBABILITIES:
        return (
            f"a model whose last layer ({layer}) gives probabilities by {kind}; the loss takes "
            "logits: use activation=None there."
        )
    return None


def _last_operation(model: keras.Model) -> tuple[str, str]:
    """Returns the name of the last layer that changes values, and its activation or its kind."""
    tensor = model.outputs[0]
    while True:
        operation, node_index, tensor_index = tensor._keras_history
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[tensor_index]
            continue
        activation = getattr(operation, "activation", None)
        kind = getattr(activation, "__name__", type(operation).__name__).lower()
        is_linear = kind == "linear" and isinstance(operation, keras.layers.Activation)
        if not is_linear and kind not in ("cast", "identity"):
            return operation.name, kind
        (tensor, *_) = operation._inbound_nodes[node_index].input_tensors
