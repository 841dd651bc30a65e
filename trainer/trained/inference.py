"""A trained model on one device, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from input_pipelines.blocks import evaluation_blocks
from input_pipelines.cache import apply_tier
from input_pipelines.source import Source
from trainer.engine import blocks
from trainer.engine.state import TrainState
from trainer.model.model import build_model
from trainer.trained.predictions import Predictions


def plain_model(name: str, num_classes: int, state: TrainState) -> keras.Model:
    """Returns the model of a state, uint8 images -> logits, apart from its strategy and optimizer.

    It has the weights to judge it by (averages, where they are kept), and asks no other worker.
    """
    with state.weights_to_evaluate():
        weights = [variable.numpy() for variable in state.model.weights]
    model = build_model(name, num_classes, state.model.input_shape[1:])
    model.set_weights(weights)
    return model


def logits_function(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Returns the model as a graph: uint8 [N, *image_shape] -> float32 logits [N, classes]."""
    return tf.function(
        lambda images: tf.cast(model(images, training=False), tf.float32), autograph=False
    )


def batches_of(source: Source, shape: tuple[int, int, int]) -> Iterator[tf.Tensor]:
    """Yields the images of a source in order, uint8 [rows, *shape]; the last batch is padded.

    Raises:
        DataError: an image that cannot be decoded.
    """
    rows = blocks.evaluation_batch_size(shape, 1)
    steps = blocks.evaluation_block_steps(len(source), rows, shape)
    for block in evaluation_blocks(source, shape, global_batch_size=rows, steps_per_block=steps):
        yield from block["images"]


def predict_logits(model: keras.Model, source: Source) -> np.ndarray:
    """Returns float32 [N, classes] for the N examples of a source, in order.

    Raises:
        DataError: an image that cannot be decoded.
    """
    predict = logits_function(model)
    found = [predict(images).numpy() for images in batches_of(source, model.input_shape[1:])]
    return np.concatenate(found)[: len(source)]


def predict_split(
    model: keras.Model,
    source: Source,
    images: Source | None = None,
    image_shape: tuple[int, int, int] | None = None,
) -> Predictions:
    """Returns what the model answers to each example of a source, with images to look at.

    Args:
        model: what the source holds -> logits.
        source: N examples.
        images: the same examples as images, where the source holds features.
        image_shape: (height, width, channels) of those.

    Raises:
        DataError: an image that cannot be decoded.
    """
    images, shape = images or source, image_shape or model.input_shape[1:]
    return Predictions.from_logits(
        predict_logits(model, source),
        source.labels,
        lambda indices: read_images(images, indices, shape),
    )


def read_images(source: Source, indices: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns uint8 [M, *shape] of int64 [M] indices, one or more, as the model gets them."""
    return apply_tier(source.take(indices), "memory", shape).images
