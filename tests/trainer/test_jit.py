"""Which loops XLA compiles, and the reason given."""

from __future__ import annotations

import pytest

from flowrate.errors import ConfigError
from trainer.config import TrainConfig


@pytest.fixture(scope="module")
def models(tf):
    """One dense model, and one with a convolution."""
    import keras

    def sequence(*layers):
        return keras.Sequential([keras.Input((8, 8, 1)), *layers])

    return {
        "dense": sequence(
            keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.BatchNormalization()
        ),
        "convolution": sequence(keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D()),
    }


@pytest.mark.parametrize(
    ("jit", "model", "num_replicas", "on_gpu", "compile", "reason"),
    [
        ("auto", "dense", 1, False, True, "a dense model on one CPU device"),
        ("auto", "convolution", 1, False, False, "XLA is slow at convolutions on CPUs"),
        ("auto", "dense", 1, True, True, "one GPU"),
        ("auto", "convolution", 1, True, True, "one GPU"),
        ("auto", "dense", 2, False, False, "XLA cannot compile collectives between replicas"),
        ("auto", "dense", 2, True, False, "XLA cannot compile collectives between replicas"),
        ("on", "convolution", 1, False, True, "--jit=on"),
        ("off", "dense", 1, True, False, "--jit=off"),
        ("off", "dense", 4, False, False, "--jit=off"),
    ],
)
def test_the_choice_and_its_reason(models, jit, model, num_replicas, on_gpu, compile, reason):
    from trainer.jit import JitChoice, choose_jit

    choice = choose_jit(TrainConfig(jit=jit), models[model], num_replicas, on_gpu)
    assert choice == JitChoice(compile, reason)


def test_it_cannot_be_demanded_where_it_cannot_be(models):
    from trainer.jit import choose_jit

    message = r"^--jit=on: XLA cannot compile a loop over 2 replicas .*; use --jit=auto\.$"
    with pytest.raises(ConfigError, match=message):
        choose_jit(TrainConfig(jit="on"), models["dense"], 2, False)


def test_what_counts_as_dense(models):
    import keras

    from trainer.jit import is_dense

    assert is_dense(models["dense"])
    assert not is_dense(models["convolution"])
    tokens = keras.Input((5, 8))
    attention = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
    assert not is_dense(keras.Model(tokens, attention))
