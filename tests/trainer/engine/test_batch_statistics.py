"""BatchNorm's moving statistics belong to the weights, however short the run."""

from __future__ import annotations

import numpy as np
import pytest

import models
from flowrate.errors import Preempted
from flowrate.signals import StopRequest

MODEL = """
import keras

from models._layers import classifier, image_input


def build_model(num_classes, image_shape):
    images, pixels = image_input(image_shape)
    features = keras.layers.BatchNormalization(momentum=0.999)(pixels)
    features = keras.layers.Conv2D(8, 3, use_bias=False)(features)
    inner = keras.Sequential([keras.layers.BatchNormalization(momentum=0.999)])
    features = keras.layers.ReLU()(inner(features))
    return classifier(images, keras.layers.Flatten()(features), num_classes, name="normalized")
"""
FLAGS = {"model": "normalized", "learning_rate": 0.01, "log_every_steps": 5}
MIRRORED = {"strategy": "mirrored", "virtual_devices": 2}


@pytest.fixture(autouse=True)
def normalized(tmp_path):
    """Adds a model file whose statistics Keras would have hardly moved after 1,000 steps."""
    (tmp_path / "normalized.py").write_text(MODEL)
    models.__path__.append(str(tmp_path))
    yield
    models.__path__.remove(str(tmp_path))


def momentum(tf, own: float, num_before: int) -> float:
    from trainer.engine.batch_statistics import bounded_momentum

    return float(bounded_momentum(own, tf.constant(num_before, tf.int64)))


def statistics(run) -> dict[str, np.ndarray]:
    """Of the run's checkpoint: merged and, of several replicas, those of each."""
    return {name: a for name, a in run.state.to_arrays().items() if "moving" in name}


def test_the_first_batch_takes_the_place_of_the_initial_value(tf):
    assert momentum(tf, 0.999, 0) == 0


@pytest.mark.parametrize(
    ("own", "num_before", "expected"),
    [(0.999, 1, 0.1), (0.999, 91, 0.91), (0.9, 81, 0.9), (0.9, 82, 0.9), (0.999, 10**9, 0.999)],
)
def test_the_momentum_grows_up_to_the_layers_own(tf, own, num_before, expected):
    assert momentum(tf, own, num_before) == pytest.approx(expected)


@pytest.mark.parametrize("num_steps", [20, 100, 1000])
def test_statistics_are_about_a_tenth_of_the_steps_old(tf, num_steps):
    """Followed by hand: what grows by 1 a step is behind by num_steps / 10."""
    value = 1e6
    for step in range(num_steps):
        own = momentum(tf, 0.9999, step)
        value = own * value + (1 - own) * step
    assert num_steps - 1 - value == pytest.approx(num_steps / 10, abs=0.2)


def test_pretrained_statistics_count_at_first_and_not_at_the_end(tf):
    """After the block the layer has its own momentum again; frozen, it keeps what it has."""
    import keras

    from trainer.engine.batch_statistics import momentum_of_step

    layer = keras.layers.BatchNormalization(momentum=0.999)
    model = keras.Sequential([keras.Input((1,)), layer])
    layer.moving_mean.assign([5.0])
    for step in range(120):
        with momentum_of_step(model, tf.constant(step), has_initial_statistics=True):
            model(tf.zeros([4, 1]), training=True)
        assert step or float(layer.moving_mean[0]) == pytest.approx(5 * 0.91)
    assert float(layer.moving_mean[0]) < 0.01
    assert layer.momentum == 0.999
    kept = float(layer.moving_mean[0])
    layer.trainable = False
    with momentum_of_step(model, tf.constant(0)):
        model(tf.ones([4, 1]), training=True)
    assert float(layer.moving_mean[0]) == kept


@pytest.mark.parametrize(
    "flags",
    [{}, MIRRORED, {"jit": "on"}, {"precision": "mixed_bfloat16"}],
    ids=["one", "replicas", "xla", "bfloat16"],
)
def test_an_evaluation_confirms_the_training(train, flags):
    """64 steps of 64 digits at momentum 0.999: without the law every digit is called one class."""
    run = train(steps=64, global_batch_size=64, **FLAGS, **flags)
    assert run.evaluator(run.sources["train"])["accuracy"] > 0.95
    assert all(array.dtype == np.float32 for array in statistics(run).values())
    layers = run.state.model._flatten_layers()
    assert {layer.momentum for layer in layers if hasattr(layer, "momentum")} == {0.999}


def test_replicas_have_together_the_mean_of_one_device(train):
    """Of the layer that sees the pixels, since no weight lies before it."""
    one, two = (
        statistics(train(steps=20, global_batch_size=48, **FLAGS, **flags))
        for flags in ({}, MIRRORED)
    )
    name = next(name for name in one if name.endswith("moving_mean") and one[name].shape == (1,))
    np.testing.assert_allclose(two[name], one[name], rtol=1e-5)


@pytest.mark.parametrize("flags", [{}, MIRRORED], ids=["one", "replicas"])
def test_a_run_that_was_stopped_has_the_same_bits(train, tmp_path, flags):
    class StopAtOnce(StopRequest):
        def __bool__(self) -> bool:
            return True

    flags = {**FLAGS, **flags, "steps": 8, "steps_per_call": 2}
    expected = train(**flags).state.to_arrays()
    run_dir = str(tmp_path / "stopped")
    with pytest.raises(Preempted, match="preempted at step 1, saved"):
        train(**flags, run_dir=run_dir, stop=StopAtOnce())
    run = train(**flags, run_dir=run_dir)
    assert run.state.progress.step == 8
    for name, array in run.state.to_arrays().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
