"""Sums over replicas, whatever the messages are cut into; what is rounded, and what not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[3]
NUM_REPLICAS = 4
# 4.5 MiB, 8 bytes, nothing, 1.5 MiB: messages of 1 MiB or more end after the first and the last.
SHAPES = [[1024, 1152], [2], [0, 3], [384, 1024]]


@pytest.fixture
def exchange(tf):
    """Returns a function: sums over four replicas the tensors that each has made; of all."""
    from trainer.distributed.exchange import Exchange

    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(NUM_REPLICAS)])

    def run(num_workers: int = 1, **flags):
        config = TrainConfig(strategy="mirrored", **flags)
        chosen = Exchange(config, strategy, num_workers)

        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradients = [tf.convert_to_tensor(g) for g in drawn()]
            gradients = [tf.gather(gradient, number) for gradient in gradients]
            return chosen.sum(gradients, tf.gather(tf.constant(figures()), number))

        results = tf.function(lambda: strategy.run(replica), autograph=False)()
        return tf.nest.map_structure(strategy.experimental_local_results, results)

    return run


def drawn() -> list[np.ndarray]:
    """Returns each tensor for all replicas, float32 [NUM_REPLICAS, ...]."""
    generator = np.random.default_rng(7)
    return [generator.normal(size=[NUM_REPLICAS, *s]).astype(np.float32) for s in SHAPES]


def figures() -> np.ndarray:
    """Returns float32 [NUM_REPLICAS, 2] that bfloat16 cannot hold."""
    return np.array([[1 + 2**-20, 1000 + index] for index in range(NUM_REPLICAS)], np.float32)


@pytest.mark.parametrize("bucket", [0, 1, 64])
def test_the_sum_of_all_replicas(exchange, bucket):
    gradients, sums, seconds = exchange(gradient_bucket_mib=bucket)
    for gradient, values in zip(gradients, drawn()):
        for of_replica in gradient:
            np.testing.assert_allclose(of_replica, values.sum(axis=0), rtol=0, atol=1e-5)
            np.testing.assert_array_equal(of_replica, gradient[0])
    for of_replica in sums:
        np.testing.assert_array_equal(of_replica, figures().sum(axis=0))
    assert seconds[0].shape == (0,)  # One worker has no one to wait for.


def test_bfloat16_rounds_gradients_and_nothing_else(tf, exchange):
    gradients, sums, _ = exchange(gradient_dtype="bfloat16")
    exact, _, _ = exchange()
    for gradient, full, values in zip(gradients, exact, drawn()):
        assert gradient[0].dtype == tf.float32
        # 8 bits: each of the 4 values and of the 3 sums is off by at most 2**-9 of what it is.
        bound = 2**-9 * 8 * np.abs(values).sum(axis=0) + 1e-30
        assert (np.abs(gradient[0] - full[0]) <= bound).all()
        if values.size > 100:
            assert (gradient[0] != full[0]).numpy().mean() > 0.5
    np.testing.assert_array_equal(sums[0], figures().sum(axis=0))


@pytest.mark.parametrize(("flags", "messages"), [
    ({}, 1),
    ({"gradient_bucket_mib": 1}, 2),
    ({"gradient_dtype": "bfloat16"}, 2),
])  # fmt: skip
def test_how_many_messages_leave_a_replica(tf, flags, messages):
    """Counted in the graph: those of float32 in one, the figures by themselves where others are
    rounded, and a message begun anew where it holds more than was asked for.
    """
    from trainer.distributed.exchange import Exchange

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    chosen = Exchange(TrainConfig(strategy="mirrored", **flags), strategy, 1)

    @tf.function(autograph=False)
    def step():
        zeros = [tf.zeros(shape) for shape in SHAPES]
        return strategy.run(lambda: chosen.sum([tf.identity(z) for z in zeros], tf.zeros([2])))

    operations = step.get_concrete_function().graph.get_operations()
    sums = [op for op in operations if op.type.startswith("CollectiveReduce")]
    assert len(sums) == messages * 2


def test_the_seconds_of_several_workers(exchange):
    _, _, seconds = exchange(num_workers=2)
    assert all(of_replica.shape == (1,) and of_replica[0] >= 0 for of_replica in seconds)


def train(folder: Path, *flags: str) -> dict:
    subprocess.run(
        [
            sys.executable, "-m", "trainer.main", "--model=mlp64", "--steps=90",
            "--strategy=mirrored", "--virtual_devices=2", f"--run_dir={folder}", *flags,
        ],
        cwd=ROOT, check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_a_run_with_rounded_gradients_learns_as_well(tmp_path):
    exact, rounded = train(tmp_path / "a"), train(tmp_path / "b", "--gradient_dtype=bfloat16")
    assert rounded["test_loss"] != exact["test_loss"]
    assert rounded["test_accuracy"] == pytest.approx(exact["test_accuracy"], abs=0.03)
    assert exact["test_accuracy"] > 0.8
