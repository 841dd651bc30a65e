"""What is computed depends on no number of replicas, no cache and no cut of a batch into parts."""

from __future__ import annotations

import numpy as np
import pytest

from flowrate.records import read_json_lines

TOLERANCE = 1e-5


def flags_for(num_replicas: int) -> dict:
    if num_replicas == 1:
        return {}
    return {"strategy": "mirrored", "virtual_devices": num_replicas}


def rows_of(run, kind: str) -> list[dict]:
    return [row for row in read_json_lines(run.run_dir.metrics_path) if row["kind"] == kind]


def assert_same_training(run, reference):
    """Losses, accuracies, gradient norms, evaluations and weights agree."""
    for kind, names in (
        ("train", ("loss", "accuracy", "gradient_norm", "learning_rate")),
        ("evaluation", ("loss", "accuracy", "examples")),
    ):
        ours, theirs = rows_of(run, kind), rows_of(reference, kind)
        assert len(ours) == len(theirs) > 0
        for row, other in zip(ours, theirs):
            assert row["step"] == other["step"]
            for name in names:
                assert row[name] == pytest.approx(other[name], rel=TOLERANCE, abs=TOLERANCE), row
    arrays, expected = run.state.to_arrays(), reference.state.to_arrays()
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_allclose(arrays[name], expected[name], atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("num_replicas", [pytest.param(2, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize(
    "flags",
    [
        {"model": "mlp64"},
        {"model": "cnn", "optimizer": "sgd", "learning_rate": 0.05, "gradient_clip_norm": 0.5},
        {"model": "mlp", "augmentation": "rotation,translation,flip,contrast,cutout,mixup,cutmix"},
        {"model": "mlp", "optimizer": "adamw", "weight_decay": 0.1, "label_smoothing": 0.1,
         "schedule": "cosine", "warmup_steps": 5, "ema_decay": 0.9},
        {"model": "mlp64", "balance": True, "augmentation": "mixup"},
    ],
    ids=["plain", "clipped", "augmented", "decayed", "balanced"],
)  # fmt: skip
def test_replicas_agree_with_one_device(train, flags, num_replicas):
    flags = {"steps": 24, "global_batch_size": 48, "log_every_steps": 1, **flags}
    reference = train(**flags)
    run = train(**flags, **flags_for(num_replicas))
    assert run.state.strategy.num_replicas_in_sync == num_replicas
    assert_same_training(run, reference)


def test_a_batch_larger_than_the_data_set_still_agrees(train):
    """Batches straddle two epochs and more: 1,437 examples, 1,600 per step."""
    flags = {"steps": 4, "global_batch_size": 1600, "log_every_steps": 1, "model": "mlp16"}
    assert_same_training(train(**flags, **flags_for(4)), train(**flags))


@pytest.mark.parametrize("steps_per_call", [1, 7, 1000])
def test_the_cut_into_calls_does_not_matter(train, steps_per_call):
    flags = {"steps": 30, "log_every_steps": 5, "model": "cnn", "augmentation": "contrast,zoom"}
    run, reference = train(**flags, steps_per_call=steps_per_call), train(**flags)
    for row, other in zip(rows_of(run, "train"), rows_of(reference, "train"), strict=True):
        assert row["loss"] == other["loss"]
    for name, array in run.state.to_arrays().items():
        np.testing.assert_array_equal(array, reference.state.to_arrays()[name], err_msg=name)


def test_cache_tiers_give_the_same_weights(train, image_folder):
    folder = image_folder(per_class=30)
    flags = {
        "dataset": "image_folder", "data_dir": str(folder), "image_size": 20, "steps": 8,
        "global_batch_size": 8, "log_every_steps": 1,
    }  # fmt: skip
    flags |= {"model": "cnn", "augmentation": "rotation,flip,contrast,mixup"}
    reference = train(**flags, cache="memory")
    for tier in ("none", "disk", "device"):
        run = train(**flags, cache=tier)
        assert run.choices.cache == tier
        for name, array in run.state.to_arrays().items():
            np.testing.assert_array_equal(array, reference.state.to_arrays()[name], err_msg=name)


@pytest.mark.parametrize("jit", [pytest.param("on", marks=pytest.mark.slow), "off"])
@pytest.mark.parametrize("augmentation", ["none", "translation,zoom"])
def test_data_on_the_device_changes_nothing(train, jit, augmentation):
    """Two epochs and a half: blocks of indices straddle epochs."""
    flags = {
        "steps": 110, "log_every_steps": 1, "model": "mlp", "jit": jit, "steps_per_call": 17,
        "augmentation": augmentation,
    }  # fmt: skip
    run, reference = train(**flags, cache="device"), train(**flags, cache="memory")
    assert (run.choices.cache, reference.choices.cache) == ("device", "memory")
    assert_same_training(run, reference)
    for row, other in zip(rows_of(run, "train"), rows_of(reference, "train"), strict=True):
        assert row["loss"] == other["loss"]


@pytest.mark.parametrize("num_replicas", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_replicas_each_hold_the_data_and_take_their_rows(train, num_replicas):
    flags = {
        "steps": 12, "global_batch_size": 48, "log_every_steps": 1, "model": "mlp",
        "augmentation": "rotation,cutmix", "cache": "device",
    }  # fmt: skip
    assert_same_training(train(**flags, **flags_for(num_replicas)), train(**flags))


@pytest.mark.parametrize(
    ("flags", "num_parts", "num_replicas"),
    [
        ({"model": "cnn", "jit": "off", "augmentation": "rotation,contrast,mixup"}, 4, 1),
        ({"model": "mlp", "jit": "on", "label_smoothing": 0.1}, 3, 1),
        ({"model": "cnn", "optimizer": "sgd", "gradient_clip_norm": 0.5, "balance": True}, 12, 2),
        ({"model": "mlp", "cache": "device", "class_weights": "balanced"}, 2, 2),
        pytest.param({"model": "cnn", "jit": "on"}, 4, 1, marks=pytest.mark.slow),
        pytest.param({"model": "mlp", "augmentation": "cutmix"}, 4, 4, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_parts_of_a_batch_train_as_the_whole(train, flags, num_parts, num_replicas):
    flags = {"steps": 12, "global_batch_size": 48, "log_every_steps": 1, **flags}
    reference = train(**flags, **flags_for(num_replicas))
    run = train(**flags, gradient_accumulation=num_parts, **flags_for(num_replicas))
    assert_same_training(run, reference)


def test_another_seed_trains_otherwise(train):
    flags = {"steps": 4, "log_every_steps": 1, "model": "mlp16"}
    losses = {tuple(r["loss"] for r in rows_of(train(**flags, seed=s), "train")) for s in (0, 1)}
    assert len(losses) == 2


def test_xla_agrees_with_plain_tensorflow(train):
    flags = {"steps": 20, "log_every_steps": 1, "model": "mlp", "augmentation": "translation"}
    assert_same_training(train(**flags, jit="on"), train(**flags, jit="off"))
