"""Schedules and optimizers: the rates they give, that they learn, what they leave alone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from flowrate.records import read_json_lines
from trainer.config import TrainConfig
from trainer.optimizers import OPTIMIZERS

DECAYING = [name for name in OPTIMIZERS.names() if name != "adam"]
RATE = 0.25  # a number that float32 holds exactly


@pytest.fixture
def rates(tf):
    """Returns a function: the learning rate of each step of a run with these flags."""
    from trainer.engine.optimizers import build_schedule

    def of(total_steps: int, **flags) -> np.ndarray:
        schedule = build_schedule(TrainConfig(learning_rate=RATE, **flags), total_steps)
        return np.array([float(schedule(step)) for step in range(total_steps)])

    return of


@pytest.fixture
def problem(tf):
    """Returns a function that makes a small model, its loss and an optimizer with these flags."""
    import keras

    from trainer.engine.optimizers import build_optimizer, build_schedule

    generator = np.random.default_rng(0)
    images = tf.constant(generator.standard_normal((40, 8, 8, 2)), tf.float32)
    labels = tf.constant(np.argmax(images[:, :4, 0, 0], axis=1))

    def make(total_steps: int = 1000, **flags):
        keras.utils.set_random_seed(0)
        keras.mixed_precision.set_dtype_policy("float32")
        config = TrainConfig(**flags)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="ones"),
                keras.layers.BatchNormalization(beta_initializer="ones"),
                keras.layers.Flatten(),
                keras.layers.Dense(16, activation="relu", bias_initializer="ones"),
                keras.layers.Dense(4, name="logits", bias_initializer="ones"),
            ]
        )
        schedule = build_schedule(config, total_steps)
        optimizer = build_optimizer(config, schedule, model.trainable_variables)

        def loss():
            logits = model(images, training=True)
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        def step():
            weights = model.trainable_variables
            with tf.GradientTape() as tape:
                value = optimizer.scale_loss(loss())
            gradients = tape.gradient(value, [weight.value for weight in weights])
            optimizer.apply(gradients, weights)

        model.loss_now, model.step = lambda: float(loss()), step
        return model, optimizer

    return make


def apply_constant_gradients(tf, model, optimizer, value: float) -> list[np.ndarray]:
    """Applies gradients that are `value` everywhere; returns the weights before."""
    weights = model.trainable_variables
    before = [weight.numpy() for weight in weights]
    optimizer.apply([tf.fill(weight.shape, value) for weight in weights], weights)
    return before


# --- schedules --------------------------------------------------------------------------------


def test_constant(rates):
    np.testing.assert_array_equal(rates(10), RATE)


def test_warm_up_rises_evenly_and_is_complete_at_its_end(rates):
    found = rates(12, warmup_steps=8)
    np.testing.assert_allclose(found[:8], RATE * np.arange(1, 9) / 8, rtol=1e-6)
    np.testing.assert_array_equal(found[8:], RATE)


def test_cosine_falls_to_nearly_nothing(rates):
    found = rates(200, schedule="cosine")
    expected = RATE * (1 + np.cos(np.pi * np.arange(200) / 200)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found[0] == RATE
    assert 0 < found[-1] < RATE / 1000


def test_cosine_begins_after_warm_up_and_still_ends_near_nothing(rates):
    found = rates(120, schedule="cosine", warmup_steps=20)
    np.testing.assert_allclose(found[:20], RATE * np.arange(1, 21) / 20, rtol=1e-6)
    assert found[20] == RATE
    assert np.all(np.diff(found[20:]) < 0)
    assert 0 < found[-1] < RATE / 1000


def test_piecewise_falls_to_a_tenth_at_each_milestone(rates):
    found = rates(100, schedule="piecewise", schedule_milestones="0.5,0.75")
    np.testing.assert_allclose(found[:50], RATE, rtol=1e-6)
    np.testing.assert_allclose(found[50:75], RATE / 10, rtol=1e-6)
    np.testing.assert_allclose(found[75:], RATE / 100, rtol=1e-6)


def test_milestones_are_shares_of_what_follows_warm_up(rates):
    found = rates(110, schedule="piecewise", schedule_milestones="0.2", warmup_steps=10)
    np.testing.assert_allclose(found[:10], RATE * np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(found[10:30], RATE, rtol=1e-6)
    np.testing.assert_allclose(found[30:], RATE / 10, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "piecewise"])
@pytest.mark.parametrize("warmup_steps", [0, 3])
def test_a_run_of_one_step_has_a_rate(rates, schedule, warmup_steps):
    (found,) = rates(1, schedule=schedule, warmup_steps=warmup_steps)
    assert 0 < found <= RATE


def test_a_warm_up_longer_than_the_run_never_gets_there(rates):
    found = rates(5, schedule="cosine", warmup_steps=50)
    np.testing.assert_allclose(found, RATE * np.arange(1, 6) / 50, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "piecewise"])
def test_the_optimizer_follows_the_schedule(tf, problem, rates, schedule):
    flags = {"schedule": schedule, "warmup_steps": 2}
    model, optimizer = problem(6, optimizer="sgd", momentum=0.0, learning_rate=RATE, **flags)
    for rate in rates(6, **flags):
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        before = apply_constant_gradients(tf, model, optimizer, 1.0)
        moved = before[0] - model.trainable_variables[0].numpy()
        np.testing.assert_allclose(moved, rate, atol=1e-6)


# --- optimizers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_every_optimizer_lowers_a_simple_loss(problem, name, precision):
    model, _ = problem(optimizer=name, learning_rate=0.01, precision=precision)
    before = model.loss_now()
    for _ in range(30):
        model.step()
    assert model.loss_now() < 0.7 * before


def test_a_float16_optimizer_scales_the_loss_and_shows_the_one_inside(problem):
    import keras

    from trainer.engine.optimizers import without_loss_scale

    _, scaled = problem(precision="mixed_float16")
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    assert isinstance(without_loss_scale(scaled), keras.optimizers.Adam)
    _, plain = problem()
    assert without_loss_scale(plain) is plain


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_shrinks_matrices_and_kernels_and_leaves_the_rest_alone(tf, problem, name):
    """With gradients of zero nothing moves a weight but its decay."""
    model, optimizer = problem(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    before = apply_constant_gradients(tf, model, optimizer, 0.0)
    shapes = {weight.path: len(weight.shape) for weight in model.trainable_variables}
    assert sorted(shapes.values()) == [1, 1, 1, 1, 1, 2, 2, 4]
    for weight, value in zip(model.trainable_variables, before):
        assert np.any(value), weight.path  # else nothing could shrink
        factor = 1 - 0.1 * 0.5 if len(weight.shape) > 1 else 1
        np.testing.assert_allclose(weight.numpy(), factor * value, rtol=1e-5, err_msg=weight.path)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_without_weight_decay_nothing_shrinks(tf, problem, name):
    model, optimizer = problem(optimizer=name, learning_rate=0.1)
    before = apply_constant_gradients(tf, model, optimizer, 0.0)
    for weight, value in zip(model.trainable_variables, before):
        np.testing.assert_array_equal(weight.numpy(), value, err_msg=weight.path)


@pytest.mark.parametrize("name", DECAYING)
def test_vectors_are_trained_the_same_with_weight_decay_and_without(tf, problem, name):
    flags = {"optimizer": name, "learning_rate": 0.1}
    plain, decayed = problem(**flags), problem(**flags, weight_decay=0.5)
    for model, optimizer in (plain, decayed):
        apply_constant_gradients(tf, model, optimizer, 0.01)
    for one, other in zip(plain[0].trainable_variables, decayed[0].trainable_variables):
        same = np.array_equal(one.numpy(), other.numpy())
        assert same == (len(one.shape) < 2), one.path


@pytest.mark.parametrize(("value", "is_clipped"), [(3.0, True), (0.003, False)])
def test_clipping_bounds_the_norm_over_all_weights(tf, problem, value, is_clipped):
    model, optimizer = problem(
        optimizer="sgd", momentum=0.0, learning_rate=1.0, gradient_clip_norm=0.5
    )
    before = apply_constant_gradients(tf, model, optimizer, value)
    moved = np.concatenate(
        [(old - w.numpy()).ravel() for old, w in zip(before, model.trainable_variables)]
    )
    step = 0.5 / np.sqrt(moved.size) if is_clipped else value
    np.testing.assert_allclose(moved, step, atol=1e-6)
    if is_clipped:
        assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(("momentum", "steps"), [(0.0, [1, 1, 1]), (0.5, [1.5, 1.75, 1.875])])
def test_sgd_has_nesterov_momentum(tf, problem, momentum, steps):
    """Nesterov's method as written for deep learning: v = m v + g, then g + m v is applied."""
    model, optimizer = problem(optimizer="sgd", momentum=momentum, learning_rate=0.1)
    for step in steps:
        before = apply_constant_gradients(tf, model, optimizer, 1.0)
        moved = before[0] - model.trainable_variables[0].numpy()
        np.testing.assert_allclose(moved, 0.1 * step, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_averages_follow_the_weights(tf, problem, name):
    model, optimizer = problem(optimizer=name, learning_rate=0.1, ema_decay=0.75)
    weights = model.trainable_variables
    averages = None
    for value in (0.5, -0.25, 0.125):
        apply_constant_gradients(tf, model, optimizer, value)
        now = [weight.numpy() for weight in weights]
        averages = averages and [0.75 * a + 0.25 * w for a, w in zip(averages, now)]
        averages = averages or now
    optimizer.finalize_variable_values(weights)
    for weight, average in zip(weights, averages):
        np.testing.assert_allclose(weight.numpy(), average, atol=1e-6, err_msg=weight.path)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_every_optimizer_runs_on_replicas(train, name):
    """As on one device: decay and averages are updates too, which every replica must make."""
    flags = {
        "model": "mlp16", "optimizer": name, "learning_rate": 0.01, "ema_decay": 0.5,
        "weight_decay": 0.0 if name == "adam" else 1.0, "steps": 4, "log_every_steps": 1,
        "jit": "off",
    }  # fmt: skip
    one = train(**flags)
    two = train(**flags, strategy="mirrored", virtual_devices=2)
    losses = [
        [row["loss"] for row in read_json_lines(run.run_dir.metrics_path) if row["kind"] == "train"]
        for run in (one, two)
    ]
    assert two.state.strategy.num_replicas_in_sync == 2
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_a_run_goes_on_where_float16_overflows(train, tmp_path):
    """The step is skipped and the scale halved; the log counts its gradient as nothing."""
    flags = {
        "model": "mlp", "precision": "mixed_float16", "steps": 4, "checkpoint_every_steps": 2,
        "log_every_steps": 1, "run_dir": str(tmp_path / "run"),
    }  # fmt: skip
    store = train(**flags).run_dir.checkpoints
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "ckpt-00000004")
    found = store.read(2)
    (scale,) = [name for name in found.arrays if name.endswith("dynamic_scale")]
    store.save(found.arrays | {scale: np.array(2.0**40, np.float32)}, found.progress)
    run = train(**flags)
    rows = [r for r in read_json_lines(run.run_dir.metrics_path) if r["kind"] == "train"]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["gradient_norm"] > 0 for row in rows] == [True, True, False, False]
    assert run.state.optimizer.dynamic_scale.numpy() == 2.0**38
