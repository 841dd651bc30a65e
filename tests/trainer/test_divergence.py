"""Training that goes wrong: where it stops, what it says, and what it leaves behind."""

from __future__ import annotations

import pytest

from flowrate.errors import DivergedError
from flowrate.records import read_json


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
