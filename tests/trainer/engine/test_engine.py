"""The step engine against the same step written out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flowrate.errors import DataError
from flowrate.records import read_json_lines


@pytest.fixture
def engine(tf, tmp_path):
    """Returns a function that builds, without training, a run with these flags."""
    from flowrate.signals import StopRequest
    from trainer import build
    from trainer.clock import PhaseClock
    from trainer.config import TrainConfig
    from trainer.data import load_data
    from trainer.output.console import Console
    from trainer.run_dir.folder import RunDir

    def make(**flags):
        config = TrainConfig(run_dir=str(tmp_path / "run"), **flags)
        run_dir = RunDir.open(config, print)
        data = load_data(config)
        return build.build_run(config, data, run_dir, Console(), PhaseClock(), StopRequest())

    return make


def first_batch(run):
    """The images and labels of step 1, by way of the pipeline itself."""
    from input_pipelines.blocks import training_blocks

    block = next(
        training_blocks(
            run.sources["train"], run.state.model.input_shape[1:],
            seed=run.config.seed, first_step=0, last_step=1,
            global_batch_size=run.config.global_batch_size, steps_per_block=1,
        )
    )  # fmt: skip
    return block["images"][0], block["labels"][0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_step_of_gradient_descent(tf, engine, smoothing):
    """loss, number correct, gradient norm and new weights, from the definitions."""
    run = engine(
        model="mlp16", steps=1, optimizer="sgd", momentum=0.0, learning_rate=0.1,
        label_smoothing=smoothing,
    )  # fmt: skip
    images, labels = first_batch(run)
    model = run.state.model
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        targets = tf.one_hot(labels, 10) * (1 - smoothing) + smoothing / 10
        loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    expected = [v.numpy() - 0.1 * g.numpy() for v, g in zip(model.trainable_variables, gradients)]

    (segment,) = run.plan.segments()
    (results,) = run.engine.run(segment)
    found_loss, found_correct, found_norm, found_rate = results.metrics[0]
    assert found_rate == pytest.approx(0.1)
    assert found_loss == pytest.approx(float(loss), rel=1e-5)
    assert found_correct == np.sum(np.argmax(logits, axis=1) == labels.numpy())
    norm = np.sqrt(sum(np.sum(g.numpy() ** 2) for g in gradients))
    assert found_norm == pytest.approx(norm, rel=1e-5)
    for variable, value in zip(model.trainable_variables, expected):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)


def test_clipping_bounds_the_whole_gradient(tf, engine):
    run = engine(
        model="mlp16", steps=1, optimizer="sgd", momentum=0.0, learning_rate=1.0,
        gradient_clip_norm=0.01,
    )  # fmt: skip
    before = [v.numpy() for v in run.state.model.trainable_variables]
    (segment,) = run.plan.segments()
    (results,) = run.engine.run(segment)
    after = [v.numpy() for v in run.state.model.trainable_variables]
    moved = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(after, before)))
    assert results.metrics[0, 2] > 0.01  # the norm is reported as it was before clipping
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_calls_cover_the_segment_in_order(tf, engine):
    run = engine(model="mlp16", steps=50, steps_per_call=8, evaluate_every_steps=50)
    (segment,) = [s for s in run.plan.segments() if s.last == 50][-1:]
    segment = dataclasses.replace(segment, first=1)
    calls = list(run.engine.run(segment))
    assert [c.first for c in calls] == [1, *[c.last + 1 for c in calls[:-1]]]
    assert calls[-1].last == 50
    assert [c.is_warmup for c in calls] == [True] + [False] * (len(calls) - 1)
    assert max(c.num_steps for c in calls) == 8


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("num_replicas", [1, 2])
def test_mixed_precision_learns(train, precision, num_replicas):
    replicas = {"strategy": "mirrored", "virtual_devices": 2} if num_replicas == 2 else {}
    run = train(model="mlp", steps=90, precision=precision, **replicas)
    assert run.state.model.layers[2].compute_dtype == precision.removeprefix("mixed_")
    assert all(v.dtype == "float32" for v in run.state.model.trainable_variables)
    assert run.state.progress.evaluation["accuracy"] > 0.8


def test_a_loss_scale_too_high_is_halved_and_the_step_skipped(tf, engine):
    run = engine(model="mlp", steps=3, precision="mixed_float16", jit="off")
    optimizer = run.state.optimizer
    optimizer.dynamic_scale.assign(2.0**40)  # overflows float16 in the backward pass
    before = [v.numpy() for v in run.state.model.trainable_variables]
    (segment,) = run.plan.segments()
    next(iter(run.engine.run(segment)))
    assert optimizer.dynamic_scale.numpy() == 2.0**39
    for variable, value in zip(run.state.model.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_an_undecodable_image_is_named(train, image_folder):
    folder = image_folder(per_class=20)
    broken = folder / "dog" / "dog_007.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    for cache in ("memory", "none"):
        with pytest.raises(DataError, match=r"1 image cannot be .*dog_007\.jpg: is cut short"):
            train(
                dataset="image_folder", data_dir=str(folder), image_size=16, epochs=2,
                global_batch_size=8, cache=cache,
            )  # fmt: skip


def test_warm_up_is_marked_and_speed_leaves_it_out(train):
    run = train(model="mlp16", steps=60, log_every_steps=20)
    rows = [r for r in read_json_lines(run.run_dir.metrics_path) if r["kind"] == "train"]
    assert [row["warmup"] for row in rows] == [True, False, False]
    assert run.steps_measured == 59
    seconds = run.clock.seconds
    assert seconds["compile"] > 0
    assert seconds["train"] > 0


@pytest.mark.parametrize("jit", ["on", "off"])
def test_one_trace_serves_every_length_and_log_lines_end_no_call(tf, train, jit):
    """Segments of 7 steps within epochs of 44.9, calls of at most 30, a log line every 3 steps."""
    run = train(
        model="mlp16", steps=100, steps_per_call=30, log_every_steps=3, evaluate_every_steps=28,
        jit=jit,
    )  # fmt: skip
    assert run.engine._train_steps.experimental_get_tracing_count() == 1
    rows = [r for r in read_json_lines(run.run_dir.metrics_path) if r["kind"] == "train"]
    assert [row["step"] for row in rows] == [*range(3, 100, 3), 100]
    # Rows of one call share its speed, so there are far fewer speeds than rows.
    assert len({row["steps_per_second"] for row in rows}) < len(rows) / 2
