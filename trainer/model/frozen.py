"""Frozen layers: which they are, and the model cut in two where they end.

The frozen part in front runs as it does at inference: BatchNorm on its stored statistics, no
dropout. What it gives for an image is then a constant, so it can be computed once for a run.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from flowrate.errors import ConfigError
from input_pipelines.blocks import evaluation_blocks
from input_pipelines.cache import apply_tier
from input_pipelines.source import FeatureSource, Source
from trainer.model.initial_weights import head_of

NONE, BACKBONE = "none", "backbone"
# Of one pass over the data: images at a time, and such batches read ahead of their use.
_ROWS, _BATCHES_PER_BLOCK = 32, 4
# Images that come as arrays of another size are resized in memory: 600 MB at 224 x 224.
_MOST_RESIZED = 4096


def freeze(model: keras.Model, which: str) -> None:
    """Freezes layers: they get no gradient, no optimizer state and no weight decay.

    Args:
        model: all of whose layers are trainable.
        which: none; backbone, all but the head; or a comma list of prefixes of layers' names.

    Raises:
        ConfigError: no layer has such a name, or nothing would be left to train.
    """
    if which == NONE:
        return
    with_weights = [layer for layer in model.layers if layer.weights]
    if which == BACKBONE:
        frozen = [layer for layer in with_weights if layer is not head_of(model)]
    else:
        frozen = []
        for prefix in which.split(","):
            matching = [layer for layer in with_weights if layer.name.startswith(prefix)]
            if not matching or not prefix:
                names = [layer.name for layer in with_weights]
                raise ConfigError(
                    f"--freeze={which}: no layer's name begins with {prefix!r}; the "
                    f"{len(names)} layers with weights go from {', '.join(names[:5])} to "
                    f"{', '.join(names[-3:])}."
                )
            frozen += matching
    for layer in frozen:
        layer.trainable = False
    if not model.trainable_variables:
        raise ConfigError(f"--freeze={which}: freezes every layer; leave one to train.")


class TrainedPart:
    """A model as its steps run it; cut in two where it begins with frozen layers.

    Args:
        model: of which layers may be frozen.

    Attributes:
        frozen: images -> features, the layers that are constant; None where there are none.
        head: features -> logits, the rest; the whole model where nothing is frozen.
        takes_features: whether it is given features in place of images.
    """

    def __init__(self, model: keras.Model):
        self._whole = model
        self.frozen, self.head = _cut(model)
        self.takes_features = False

    def __call__(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns float32 logits [N, classes]."""
        return self.head(self.features(inputs), training=training)

    def features(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns what the head is given: features [N, ...], or images where none are frozen."""
        if self.frozen is None or self.takes_features:
            return inputs
        return self.frozen(inputs, training=False)

    @property
    def runs(self) -> keras.Model:
        """The model of what a step computes, for whoever asks what kind of layers it has."""
        return self.head if self.takes_features else self._whole

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, as it is given."""
        return self.runs.input_shape[1:]


def features_of(
    part: TrainedPart, source: Source, image_shape: tuple[int, int, int]
) -> FeatureSource:
    """Runs the frozen layers once over the N examples of a source, on one device.

    Raises:
        DataError: an image that cannot be decoded.
    """
    run = tf.function(lambda images: tf.cast(part.features(images), tf.float32), autograph=False)
    found = []
    for first in range(0, len(source), _MOST_RESIZED):
        some = source.take(np.arange(first, min(first + _MOST_RESIZED, len(source))))
        features = [
            run(images).numpy()
            for block in evaluation_blocks(
                apply_tier(some, "none", image_shape),
                image_shape,
                global_batch_size=_ROWS,
                steps_per_block=_BATCHES_PER_BLOCK,
            )
            for images in block["images"]
        ]
        found.append(np.concatenate(features)[: len(some)])
    return FeatureSource(np.concatenate(found), source.labels, source.class_names)


def _cut(model: keras.Model) -> tuple[keras.Model | None, keras.Model]:
    """Returns the frozen part in front and the rest, with the layers of the model itself.

    The cut lies before the first layer that is trained and before the random layers that lead to
    it. Where a trained layer has another way to the images, nothing is cut off.
    """
    if not any(layer.weights and not layer.trainable for layer in model.layers):
        return None, model
    first = next(layer for layer in model.layers if layer.trainable_variables)
    tensor = first.input
    while isinstance(tensor, keras.KerasTensor):
        producer = tensor._keras_history.operation
        if producer.weights or not producer._seed_generators:
            break
        tensor = producer.input
    if not isinstance(tensor, keras.KerasTensor) or tensor is model.inputs[0]:
        return None, model
    try:
        head = keras.Model(tensor, model.output, name=f"{model.name}_head")
    except ValueError:  # The images reach the logits by another way, too.
        return None, model
    return keras.Model(model.input, tensor, name=f"{model.name}_frozen"), head
