"""`--debug_nan` stops with the step that goes wrong and names the operation.

In processes of their own: the checks stay on.
"""

from __future__ import annotations

import pytest

from flowrate.errors import ConfigError
from flowrate.records import read_json, read_json_lines
from trainer.config import TrainConfig
from trainer.divergence import bad_operation

# Weights that grow by half with each step, until a square is beyond the largest float.
GROWING = (
    "--model=mlp", "--optimizer=sgd", "--weight_decay=1", "--learning_rate=2.5", "--steps=60",
    "--log_every_steps=1", "--checkpoint_every_steps=20",
)  # fmt: skip


def test_the_operation_and_its_step_are_named(trainer_main, tmp_path):
    done = trainer_main(*GROWING, "--debug_nan", f"--run_dir={tmp_path / 'run'}")
    assert done.returncode == 6, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    noted = read_json(tmp_path / "run" / "divergence.json")
    logged = [row["step"] for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")]
    assert noted["step"] == max(logged) + 1
    assert f" at step {noted['step']} (step {noted['step'] - 1}: " in line
    assert noted["what"].endswith((" gives +Inf", " gives NaN", " gives -Inf"))
    assert line.startswith(f"error: the operation {noted['what']} at step ")
    assert len(noted["examples"]) == 32


@pytest.mark.slow
def test_a_sound_run_comes_to_its_end(trainer_main, tmp_path):
    done = trainer_main("--steps=30", "--debug_nan", f"--run_dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        {"jit": "on"},
        {"precision": "mixed_float16"},
        {"strategy": "multi_worker_mirrored", "run_dir": "/tmp/run"},
    ],
)
def test_where_it_cannot_be(flags):
    with pytest.raises(ConfigError, match="--debug_nan: not with --"):
        TrainConfig(debug_nan=True, **flags)


def test_other_errors_are_other_errors(tf):
    assert bad_operation(tf.errors.InvalidArgumentError(None, None, "shapes differ")) is None
    assert bad_operation(ValueError("CheckNumerics")) is None
