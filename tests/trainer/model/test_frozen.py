"""Frozen layers, features computed once, and the two phases of --unfreeze_at."""

from __future__ import annotations

import numpy as np
import pytest

from flowrate.errors import ConfigError
from flowrate.records import read_json_lines


@pytest.fixture(scope="module")
def source_run(tf, tmp_path_factory):
    """The directory of a short run on digits, whose weights other runs start from."""
    from trainer.main import main

    folder = tmp_path_factory.mktemp("source") / "run"
    flags = [f"--run_dir={folder}", "--model=cnn", "--steps=30", "--noreport"]
    assert main(["main", *flags]) == 0
    return folder


@pytest.fixture
def flags(source_run):
    return {
        "model": "cnn", "weights": str(source_run), "log_every_steps": 1,
        "optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.9, "steps": 12,
        "seed": 1,
    }  # fmt: skip


def losses_of(run) -> list[float]:
    rows = read_json_lines(run.run_dir.metrics_path)
    return [row["loss"] for row in rows if row["kind"] == "train"]


def assert_equal(run, reference, tolerance=0.0):
    arrays, expected = run.state.to_arrays(), reference.state.to_arrays()
    arrays = {name: value for name, value in arrays.items() if not name.startswith("replica/")}
    assert arrays.keys() == {name for name in expected if not name.startswith("replica/")}
    for name, array in arrays.items():
        np.testing.assert_allclose(array, expected[name], atol=tolerance, rtol=0, err_msg=name)
    np.testing.assert_allclose(losses_of(run), losses_of(reference), atol=tolerance, rtol=0)


def test_frozen_layers_keep_their_weights_and_have_no_optimizer_state(train, flags, source_run):
    from trainer.trained.run import TrainedRun

    run = train(**flags, freeze="backbone")
    before = TrainedRun.open(source_run).checkpoint().arrays
    arrays = run.state.to_arrays()
    names = [name for name in arrays if name.startswith("model/")]
    changed = [name for name in names if not np.array_equal(arrays[name], before[name])]
    assert changed == names[-2:]
    # Of the kernel and the bias of the head: two moments and an average each; and the step.
    assert sum(name.startswith("optimizer/") for name in arrays) == 2 * 3 + 1
    assert run.state.part.takes_features
    assert run.sources["train"].images.shape == (1437, 64)


def test_features_give_what_images_give(train, flags):
    run = train(**flags, freeze="backbone")
    images = train(**flags, freeze="backbone", cache="none")
    assert not images.state.part.takes_features
    assert_equal(run, images, 1e-5)


def test_arrays_of_another_size_are_resized_some_at_a_time(tf, monkeypatch):
    from input_pipelines.dataset import LoadOptions
    from input_pipelines.datasets import digits
    from input_pipelines.images import decode as _decode
    from trainer.model import frozen
    from trainer.model.model import build_model

    source = digits.load(LoadOptions())["test"]
    model = build_model("cnn", 10, (12, 12, 1))
    frozen.freeze(model, "backbone")
    part = frozen.TrainedPart(model)
    monkeypatch.setattr(frozen, "_MOST_RESIZED", 100)
    found = frozen.features_of(part, source, (12, 12, 1))
    expected = part.features(_decode.resized(source, (12, 12, 1)).images)
    np.testing.assert_allclose(found.images, expected, atol=1e-5)
    np.testing.assert_array_equal(found.labels, source.labels)


@pytest.mark.parametrize("num_replicas", [2, 4])
def test_replicas_agree_with_one_device(train, flags, num_replicas):
    flags = {**flags, "freeze": "backbone"}
    mirrored = {"strategy": "mirrored", "virtual_devices": num_replicas}
    assert_equal(train(**flags, **mirrored), train(**flags), 1e-5)


@pytest.mark.parametrize("killed_after", [5, 45, 50])
def test_both_phases_resume_to_the_same_bits(train, flags, tmp_path, killed_after, monkeypatch):
    """Epochs have 45 steps: killed before, at, and after the end of the first."""
    flags = {**flags, "freeze": "conv2d", "unfreeze_at": 1, "steps": 54, "schedule": "cosine",
             "backbone_rate": 0.5, "checkpoint_every_steps": 5, "steps_per_call": 5}  # fmt: skip
    from trainer import saving

    undisturbed = train(**flags)
    assert undisturbed.state.was_frozen
    with monkeypatch.context() as patch:
        patch.setattr(saving, "save", killing(saving.save, killed_after))
        with pytest.raises(KeyboardInterrupt):
            train(**flags, run_dir=str(tmp_path / "killed"))
    assert_equal(train(**flags, run_dir=str(tmp_path / "killed")), undisturbed)


def killing(save, step: int):
    """Returns a save after which the process seems to be killed once a step is on the disk."""

    def save_and_die(run):
        save(run)
        if run.state.progress.step == step:
            run.saver.finish()
            raise KeyboardInterrupt

    return save_and_die


def test_unfreezing_trains_every_layer(train, flags):
    run = train(**flags | {"steps": 54}, freeze="backbone", unfreeze_at=1, augmentation="contrast")
    assert [layer.name for layer in run.state.model.layers if not layer.trainable] == []
    assert run.engine.batches is not None
    frozen = train(**flags | {"steps": 54}, freeze="backbone", augmentation="contrast")
    np.testing.assert_array_equal(losses_of(run)[:45], losses_of(frozen)[:45])
    assert losses_of(run)[46:] != losses_of(frozen)[46:]


def test_the_whole_network_predicts_what_the_head_was_evaluated_with(flags, source_run, tmp_path):
    from trainer.evaluate import EvaluateConfig, evaluate
    from trainer.main import main
    from trainer.trained.run import TrainedRun

    folder = tmp_path / "run"
    command = [f"--run_dir={folder}", f"--weights={source_run}", "--freeze=backbone", "--epochs=2"]
    assert main(["main", "--model=cnn", *command]) == 0
    trained = TrainedRun.open(folder)
    found = evaluate(trained, EvaluateConfig())
    assert found["accuracy"] == trained.result["test_accuracy"]
    assert found["loss"] == pytest.approx(trained.result["test_loss"], abs=1e-5)
    assert trained.result["weights"]["tensors"] == 10


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_backbone_rate(train, flags, source_run, share):
    """With plain gradient descent the first update is proportional to the rate."""
    from trainer.trained.run import TrainedRun

    flags = {"model": "cnn", "weights": str(source_run), "optimizer": "sgd", "momentum": 0.0,
             "weight_decay": 0.1, "steps": 1, "seed": 1}  # fmt: skip
    before = TrainedRun.open(source_run).checkpoint().arrays
    slow, full = (train(**flags, backbone_rate=rate).state.to_arrays() for rate in (share, 1.0))
    names = [name for name in before if name.startswith("model/")]
    for name in names:
        factor = 1.0 if name in names[-2:] else share
        expected = before[name] + factor * (full[name] - before[name])
        np.testing.assert_allclose(slow[name], expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"freeze": "backbone"}, "--freeze=backbone would keep random weights"),
        ({"unfreeze_at": 2}, "--unfreeze_at=2: nothing is frozen"),
        ({"weights": "imagenet", "freeze": "x", "unfreeze_at": 3, "epochs": 3}, "--epochs=3"),
        ({"weights": "imagenet", "freeze": "backbone", "backbone_rate": 0.1}, "--backbone_rate"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(flags, message):
    from trainer.config import TrainConfig

    with pytest.raises(ConfigError, match=message):
        TrainConfig(**flags)


@pytest.mark.parametrize("freeze", ["nothing", "conv2d,", "conv2d,dense,logits"])
def test_layers_that_cannot_be_frozen_are_refused(train, flags, freeze):
    with pytest.raises(ConfigError, match=f"--freeze={freeze}"):
        train(**flags, freeze=freeze)
