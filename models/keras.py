"""`keras:NAME`: any model of keras.applications, with random weights."""

from __future__ import annotations

import inspect

import keras

from flowrate.errors import ConfigError, nearest_name

# The first EfficientNets have no `include_preprocessing`; they always scale.
_SCALE_WITHOUT_ASKING = "EfficientNetB"


def list_names() -> list[str]:
    """Returns the names of keras.applications, sorted."""
    return sorted(
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and not name.startswith("_")
    )


def build_model(num_classes: int, image_shape: tuple[int, int, int], name: str) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes].

    Families that scale pixels themselves get 0 to 255, the others -1 to 1.

    Raises:
        ConfigError: no such model, or it cannot take images of this shape.
    """
    if name not in list_names():
        raise ConfigError(
            f"--model=keras:{name}: keras.applications has no such model."
            f"{nearest_name(name, list_names())} There are: {', '.join(list_names())}."
        )
    build = getattr(keras.applications, name)
    scales_inside = "include_preprocessing" in inspect.signature(build).parameters or (
        name.startswith(_SCALE_WITHOUT_ASKING)
    )
    images = keras.Input(image_shape, dtype="uint8", name="images")
    if scales_inside:
        pixels = keras.layers.Rescaling(1.0)(images)
    else:
        pixels = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    try:
        backbone = build(
            weights=None, input_tensor=pixels, input_shape=image_shape,
            classes=num_classes, classifier_activation=None,
        )  # fmt: skip
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"--model=keras:{name} cannot take {list(image_shape)} images: {reason} "
            "Set --image_size, or choose another model."
        ) from None
    # Some name their own last layer "logits".
    logits = keras.layers.Activation("linear", dtype="float32", name="float32_logits")
    return keras.Model(images, logits(backbone.output), name=name.lower())
