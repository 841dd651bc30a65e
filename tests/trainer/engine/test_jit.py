"""Which loops XLA compiles, and the reason given."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flowrate.errors import ConfigError
from trainer.config import TrainConfig


@pytest.fixture(scope="module")
def models(tf):
    """A dense model, one with a convolution, and one with a convolution of another kind."""
    import keras

    def sequence(*layers):
        return keras.Sequential([keras.Input((8, 8, 1)), *layers])

    return {
        "dense": sequence(
            keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.BatchNormalization()
        ),
        "convolution": sequence(keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D()),
        "unusual": sequence(
            keras.layers.Conv2D(2, 3),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
        ),
        "pooling": sequence(
            keras.layers.Conv2D(2, 3), keras.layers.MaxPooling2D(), keras.layers.Flatten()
        ),
        "odd pooling": sequence(
            keras.layers.Conv2D(2, 3), keras.layers.MaxPooling2D(3, 2), keras.layers.Flatten()
        ),
    }


def choose(model, num_replicas=1, on_gpu=False, cpu_flags=("avx2",), total_steps=2000, **flags):
    from trainer.engine.jit import choose_jit

    return choose_jit(TrainConfig(**flags), model, num_replicas, on_gpu, cpu_flags, total_steps)


@pytest.mark.parametrize(
    ("jit", "model", "num_replicas", "on_gpu", "compile", "reason"),
    [
        ("auto", "dense", 1, False, True, "a dense model on one CPU device"),
        ("auto", "unusual", 1, False, False, "XLA is slow at convolutions on CPUs"),
        ("auto", "dense", 1, True, True, "one GPU"),
        ("auto", "convolution", 1, True, True, "one GPU"),
        ("auto", "dense", 2, False, False, "XLA cannot compile collectives between replicas"),
        ("auto", "dense", 2, True, False, "XLA cannot compile collectives between replicas"),
        ("on", "dense", 1, False, True, "--jit=on"),
        ("on", "convolution", 1, True, True, "--jit=on"),
        ("off", "dense", 1, True, False, "--jit=off"),
        ("off", "dense", 4, False, False, "--jit=off"),
    ],
)
def test_the_choice_and_its_reason(models, jit, model, num_replicas, on_gpu, compile, reason):
    from trainer.engine.jit import JitChoice

    choice = choose(models[model], num_replicas, on_gpu, jit=jit)
    assert choice == JitChoice(compile, reason)
    assert choice.compile_evaluation == compile


@pytest.mark.parametrize(
    ("change", "compile", "reason"),
    [
        ({}, True, "small convolutions on one CPU device"),
        ({"cpu_flags": ("avx2", "avx512f")}, False, "XLA is slow at convolutions on CPUs"),
        # 6 x 6 outputs of 3 x 3 pixels in float32: 1,296 bytes an example.
        ({"global_batch_size": 4854}, True, "small convolutions on one CPU device"),
        ({"global_batch_size": 4855}, False, "XLA is slow at convolutions on CPUs"),
        ({"total_steps": 1999}, False, "fewer than 2,000 steps do not repay the compiling"),
        ({"total_steps": 1, "deterministic": True}, True, "small convolutions on one CPU device"),
        ({"jit": "on", "total_steps": 1, "cpu_flags": ("avx512f",)}, True, "--jit=on"),
    ],
)
def test_when_convolutions_become_products_of_matrices(models, change, compile, reason):
    choice = choose(models["convolution"], **change)
    assert (choice.compile, choice.reason) == (compile, reason)
    assert choice.matrix_convolutions == compile
    assert not choice.compile_evaluation


NOT_DETERMINISTIC = "XLA has no deterministic gradient of max pooling"


@pytest.mark.parametrize(
    ("model", "on_gpu", "compile", "reason"),
    [
        ("convolution", True, True, "one GPU"),
        ("pooling", True, False, NOT_DETERMINISTIC),
        ("odd pooling", True, False, NOT_DETERMINISTIC),
        ("pooling", False, True, "small convolutions on one CPU device"),
        ("odd pooling", False, False, NOT_DETERMINISTIC),
    ],
)
def test_max_pooling_that_is_to_be_deterministic(models, model, on_gpu, compile, reason):
    choice = choose(models[model], on_gpu=on_gpu, deterministic=True)
    assert (choice.compile, choice.reason) == (compile, reason)
    assert choose(models[model], on_gpu=on_gpu).compile


def test_max_pooling_that_is_to_be_deterministic_cannot_be_compiled_on_demand(models):
    with pytest.raises(ConfigError, match="no deterministic gradient of the max pooling"):
        choose(models["odd pooling"], jit="on", deterministic=True)
    assert choose(models["pooling"], jit="on", deterministic=True).matrix_convolutions


@pytest.mark.slow
def test_the_limit_is_still_there():
    """Where it is not, the rule about max pooling can go."""
    script = """
import tensorflow as tf
tf.keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
@tf.function(jit_compile=True)
def gradient(images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled = tf.nn.max_pool2d(images, 2, 2, "VALID")
    return tape.gradient(pooled, images)
try:
    gradient(tf.ones([1, 4, 4, 1]))
except tf.errors.UnimplementedError as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "do not yet have a deterministic XLA implementation" in done.stdout, done.stderr


def test_it_cannot_be_demanded_where_it_cannot_be(models):
    message = r"^--jit=on: XLA cannot compile a loop over 2 replicas .*; use --jit=auto\.$"
    with pytest.raises(ConfigError, match=message):
        choose(models["dense"], num_replicas=2, jit="on")


def test_what_counts_as_dense(models):
    import keras

    from trainer.engine.jit import is_dense

    assert is_dense(models["dense"])
    assert not is_dense(models["convolution"])
    tokens = keras.Input((5, 8))
    attention = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
    assert not is_dense(keras.Model(tokens, attention))
