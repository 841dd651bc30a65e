"""A batch in parts: the update of the whole, with the memory of a part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.tools.peak import run_measured

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_it_learns_in_mixed_precision(train, precision):
    run = train(model="mlp", steps=90, precision=precision, gradient_accumulation=4)
    assert run.state.progress.evaluation["accuracy"] > 0.8


def test_each_part_has_a_number_of_its_own_in_the_run(tf):
    """Dropout depends on it: parts of a step, and of any two steps, draw other masks."""
    from trainer.engine.accumulation import accumulated

    def numbers(step: int) -> list[int]:
        def gradients_of(rows, number):
            return [tf.one_hot(number, 12) * tf.reduce_sum(rows)], tf.ones([2])

        rows = tf.constant([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        step = tf.constant(step, tf.int64)
        ([gradient], figures) = accumulated(gradients_of, [rows], step, 3, [[12]])
        np.testing.assert_array_equal(figures, [3, 3])
        np.testing.assert_array_equal(gradient.numpy()[gradient != 0], [3, 7, 11])
        return np.flatnonzero(gradient).tolist()

    assert [numbers(step) for step in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def peak_mebibytes(run_dir: Path, *flags: str) -> float:
    """The most memory of a process that trains a convolutional network."""
    command = [
        sys.executable, "-m", "trainer.main", "--dataset=synthetic", "--image_size=64",
        "--model=flowers_cnn", "--steps=2", "--noreport", f"--run_dir={run_dir}", *flags,
    ]  # fmt: skip
    status, peak = run_measured(
        command, run_dir.with_suffix(".peak"), 300, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    assert status == 0
    return peak


@pytest.mark.slow
def test_the_memory_is_that_of_a_part(tmp_path):
    whole = peak_mebibytes(tmp_path / "whole", "--batch_size=1024")
    parts = peak_mebibytes(tmp_path / "parts", "--batch_size=1024", "--gradient_accumulation=16")
    small = peak_mebibytes(tmp_path / "small", "--batch_size=64")
    # The images of the larger batch come on top.
    assert parts - small < 0.25 * (whole - small), (whole, parts, small)
