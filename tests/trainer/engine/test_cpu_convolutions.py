"""Convolutions as products and poolings as comparisons give what Keras's layers give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.records import read_json_lines

pytestmark = pytest.mark.usefixtures("tf")


def outputs_and_gradients(model, images, compile_with_xla):
    """Returns the model's output and the gradients of images and weights, as arrays."""
    import tensorflow as tf

    @tf.function(jit_compile=compile_with_xla or None, autograph=False)
    def compute(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=True)
            loss = tf.reduce_sum(outputs**2)
        weights = [weight.value for weight in model.trainable_variables]
        return [outputs, *tape.gradient(loss, [images, *weights])]

    return [value.numpy() for value in compute(tf.constant(images))]


def assert_both_agree(model, images):
    from trainer.engine.cpu_convolutions import matrix_convolutions

    expected = outputs_and_gradients(model, images, compile_with_xla=False)
    with matrix_convolutions(model):
        found = outputs_and_gradients(model, images, compile_with_xla=True)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]),
    has_bias=st.booleans(),
)
def test_a_convolution_and_a_pooling(size, kernel, stride, padding, has_bias):
    import keras

    images = keras.Input((*size, 3))
    features = keras.layers.Conv2D(
        4, kernel, stride, padding=padding, use_bias=has_bias, activation="relu"
    )(images)
    if min(features.shape[1:3]) > 1:
        features = keras.layers.MaxPooling2D(padding=padding)(features)
    pixels = np.random.default_rng(0).normal(size=(5, *size, 3)).astype(np.float32)
    assert_both_agree(keras.Model(images, features), pixels)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_of_equal_pixels_the_first_gets_the_gradient(padding, size):
    import keras

    images = keras.Input((*size, 2))
    model = keras.Model(images, keras.layers.MaxPooling2D(padding=padding)(images))
    # Two values only, so that most pools hold several largest pixels.
    pixels = np.random.default_rng(1).integers(1, 3, (3, *size, 2)).astype(np.float32)
    assert_both_agree(model, pixels)


def test_other_layers_are_left_alone_and_all_are_put_back():
    import keras

    from trainer.engine.cpu_convolutions import is_plain_convolution, matrix_convolutions

    images = keras.Input((12, 12, 4))
    features = images
    for layer in (
        keras.layers.Conv2D(4, 3, groups=2),
        keras.layers.Conv2D(4, 3, dilation_rate=2),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.MaxPooling2D(3, 2, padding="same"),
        keras.layers.MaxPooling2D(2, 1),
        keras.layers.Conv2D(4, 1),
        keras.layers.MaxPooling2D(padding="same"),
    ):
        features = layer(features)
    model = keras.Model(images, features)
    *others, convolution, pooling = model.layers[1:]
    with matrix_convolutions(model):
        assert "convolution_op" in vars(convolution)
        assert "call" in vars(pooling)
        assert not any({"convolution_op", "call"} & vars(layer).keys() for layer in others)
    assert not any({"convolution_op", "call"} & vars(layer).keys() for layer in model.layers)
    assert [is_plain_convolution(layer) for layer in others] == [False] * 5
    assert is_plain_convolution(convolution)


def test_the_patches_of_the_largest_convolution():
    from models import MODELS
    from trainer.engine.cpu_convolutions import largest_patches_bytes

    def size(name: str, image_shape, rows: int) -> int:
        return largest_patches_bytes(MODELS.load(name)[0].build_model(10, image_shape), rows)

    # The second convolution: 11 x 11 outputs of 3 x 3 x 32 pixels.
    assert size("cnn", (28, 28, 1), 32) == 32 * 11 * 11 * 3 * 3 * 32 * 4
    # Padded; the second has 32 channels at the full size.
    assert size("cnn5x5", (28, 28, 1), 16) == 16 * 28 * 28 * 5 * 5 * 32 * 4
    assert size("mlp", (28, 28, 1), 32) == 0


def test_a_run_learns_the_same(train):
    # Not Adam: it divides by gradients near zero, and so makes much of their rounding.
    flags = {"model": "cnn", "steps": 20, "optimizer": "sgd", "learning_rate": 0.05}
    compiled, plain = train(**flags, jit="on"), train(**flags, jit="off")
    for weight, other in zip(compiled.state.model.weights, plain.state.model.weights):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), atol=1e-5)


@pytest.mark.slow
def test_mixed_precision(train):
    run = train(model="cnn", steps=120, precision="mixed_bfloat16", jit="on", learning_rate=0.003)
    rows = read_json_lines(run.run_dir.metrics_path)
    assert [row["accuracy"] for row in rows if row["kind"] == "evaluation"][-1] > 0.8
