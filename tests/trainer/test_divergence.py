"""Training that goes wrong: where it stops, what it says, and what it leaves behind."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from flowrate.errors import DivergedError
from flowrate.records import read_json, read_json_lines

SETTINGS = [
    {"model": "mlp", "jit": "on"},
    {"model": "mlp", "jit": "off"},
    {"model": "cnn", "jit": "off"},
    {"model": "mlp", "strategy": "mirrored", "virtual_devices": 2},
]


# With this decay each step makes the weights half as large again, and turns them round.
GROWING = {"optimizer": "sgd", "weight_decay": 1.0, "learning_rate": 2.5}


@pytest.mark.parametrize("flags", SETTINGS, ids=str)
def test_it_stops_with_the_first_loss_that_is_not_finite(train, tmp_path, flags):
    with pytest.raises(DivergedError) as caught:
        train(
            **GROWING, steps=400, log_every_steps=1, checkpoint_every_steps=2, keep_checkpoints=1,
            run_dir=str(tmp_path / "run"), **flags,
        )  # fmt: skip
    message = str(caught.value)
    found = read_json(tmp_path / "run" / "divergence.json")
    step = found["step"]
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    losses = [row for row in rows if row["kind"] == "train"]
    # The log goes up to the step before, and says the same of it.
    assert [row["step"] for row in losses] == list(range(1, step))
    assert step > 4
    assert found["last_log_line"] == losses[-1]
    assert found["last_finite_loss"] == pytest.approx(losses[-1]["loss"])
    assert f"(step {step - 1}: {losses[-1]['loss']:.4g})" in message
    assert f"ckpt-{(step - 1) // 2 * 2:08d} is kept." in message
    assert message.startswith(f"the {found['what']} is not finite at step {step}")
    assert len(found["examples"]) == 32
    assert f"{', '.join(found['examples'][:3])} and 29 more in divergence.json" in message


def test_the_examples_are_those_of_the_step(tf, train, image_folder, tmp_path):
    """Files, although they were decoded once and kept."""
    from trainer.divergence import example_names

    folder = image_folder(per_class=20)
    with pytest.raises(DivergedError, match=r"Its batch: .*\.jpg, .*\.jpg, .*\.jpg and 5 more"):
        train(
            dataset="image_folder", data_dir=str(folder), image_size=16, model="mlp", steps=60,
            cache="memory", global_batch_size=8, optimizer="sgd", learning_rate=1e30,
            run_dir=str(tmp_path / "run"),
        )  # fmt: skip
    found = read_json(tmp_path / "run" / "divergence.json")
    assert all(name.startswith(str(folder)) for name in found["examples"])
    run = train(
        dataset="image_folder", data_dir=str(folder), image_size=16, model="mlp", steps=60,
        cache="memory", global_batch_size=8, seed=3,
    )  # fmt: skip
    # Each epoch of 4 steps (32 files) names each file once.
    names = [name for step in range(1, 5) for name in example_names(run.examples, step, run.config)]
    assert sorted(names) == sorted(map(str, run.examples.paths))


@pytest.mark.parametrize("flags", SETTINGS, ids=str)
def test_a_state_that_is_not_finite_is_named_within_50_steps(train, tmp_path, monkeypatch, flags):
    """Infinity in an average of the weights: every loss is finite."""
    from trainer.checkpoints import store as checkpoints

    flags = {
        **flags,
        "steps": 400,
        "checkpoint_every_steps": 100,
        "run_dir": str(tmp_path / "run"),
        "keep_checkpoints": 9,
        "ema_decay": 0.9,
    }
    train(**flags)
    folder = tmp_path / "run" / "checkpoints"
    store = checkpoints.CheckpointStore(folder, 9, print)
    damaged = store.read(200)
    name = [name for name in damaged.arrays if name.endswith("_average")][-1]
    damaged.arrays[name][...] = np.inf
    shutil.rmtree(folder)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "check_finite", lambda *_: None)
        store.save(damaged.arrays, damaged.progress)
    with pytest.raises(DivergedError) as caught:
        train(**flags)
    found = read_json(tmp_path / "run" / "divergence.json")
    assert (found["what"], found["variables"]) == ("state", [name])
    assert 200 < found["step"] <= 250
    assert f"not finite after step {found['step']}: {name}. ckpt-00000200" in str(caught.value)
    assert store.steps() == [200]
