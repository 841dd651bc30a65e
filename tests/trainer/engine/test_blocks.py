"""Blocks: how long they are, for any size of image and batch, and who gets which rows."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.errors import DataError

law = settings(deadline=None, max_examples=200)

image_shapes = st.tuples(st.integers(1, 600), st.integers(1, 600), st.sampled_from([1, 3]))
MAX_BYTES = 32 * 2**20


@pytest.fixture(scope="module")
def blocks(tf):
    from trainer.engine import blocks

    return blocks


@law
@given(image_shapes, st.integers(1, 5000), st.integers(1, 10**6))
def test_a_training_block_is_small_and_no_longer_than_the_run(blocks, shape, batch, num_steps):
    steps = blocks.training_block_steps(math.prod(shape), batch, num_steps, 0, most=256)
    assert 1 <= steps <= min(num_steps, 256)
    assert steps == 1 or steps * batch * math.prod(shape) <= MAX_BYTES
    # One step more would break a rule.
    too_long = (steps + 1) * batch * math.prod(shape) > MAX_BYTES
    assert too_long or steps in (num_steps, 256)


@law
@given(image_shapes, st.integers(1, 5000), st.integers(1, 1000), st.integers(1, 1000))
def test_a_training_block_has_the_steps_asked_for(blocks, shape, batch, num_steps, asked):
    steps = blocks.training_block_steps(math.prod(shape), batch, num_steps, asked, most=256)
    assert steps == min(asked, num_steps)


@law
@given(image_shapes, st.integers(1, 5000))
def test_an_evaluation_batch_is_a_multiple_of_the_training_batch(blocks, shape, batch):
    size = blocks.evaluation_batch_size(shape, batch)
    assert size >= batch
    assert size % batch == 0
    assert size == batch or size <= 512
    assert size == batch or size * math.prod(shape) <= 2**18


@law
@given(st.integers(1, 200_000), st.integers(1, 5000), image_shapes)
def test_evaluation_blocks_cover_all_examples_and_waste_little(blocks, examples, batch, shape):
    steps = blocks.evaluation_block_steps(examples, batch, shape)
    assert steps >= 1
    assert steps == 1 or steps * batch * math.prod(shape) <= MAX_BYTES
    needed = math.ceil(examples / batch)
    num_blocks = math.ceil(needed / steps)
    assert num_blocks * steps >= needed
    # Even blocks: at most one step of each is padding.
    assert num_blocks * steps - needed < num_blocks


def test_known_sizes(blocks):
    assert blocks.training_block_steps(64, 32, 450, 0, most=256) == 256
    assert blocks.training_block_steps(180 * 180 * 3, 32, 1000, 0, most=256) == 10
    assert blocks.training_block_steps(600 * 600 * 3, 512, 1000, 0, most=256) == 1
    assert blocks.index_bytes(0) == 12
    assert blocks.index_bytes(5) == 32
    assert blocks.evaluation_batch_size((8, 8, 1), 32) == 512
    assert blocks.evaluation_batch_size((180, 180, 3), 32) == 32
    assert blocks.evaluation_block_steps(10_000, 512, (28, 28, 1)) == 20


@pytest.mark.parametrize("num_replicas", [1, 2, 4])
def test_each_replica_gets_its_rows_on_its_device(tf, blocks, num_replicas):
    from trainer.config import TrainConfig
    from trainer.distributed.strategy import build_strategy

    replicas = {"strategy": "mirrored", "virtual_devices": num_replicas}
    strategy = build_strategy(TrainConfig(**(replicas if num_replicas > 1 else {})))
    values = np.arange(3 * 8 * 5).reshape(3, 8, 5)
    block = {"images": tf.constant(values), "labels": tf.constant(values[:, :, 0])}
    placed = blocks.place(strategy, block)
    assert placed.keys() == block.keys()
    for name, tensor in block.items():
        parts = strategy.experimental_local_results(placed[name])
        assert len(parts) == num_replicas
        assert len({part.device for part in parts}) == num_replicas
        assert {part.shape[1] for part in parts} == {8 // num_replicas}
        together = np.concatenate([part.numpy() for part in parts], axis=1)
        np.testing.assert_array_equal(together, tensor.numpy())


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_the_next_block_is_on_the_devices_before_it_is_asked_for(tf, blocks, num_replicas):
    from trainer.config import TrainConfig
    from trainer.distributed.strategy import build_strategy

    replicas = {"strategy": "mirrored", "virtual_devices": num_replicas}
    strategy = build_strategy(TrainConfig(**(replicas if num_replicas > 1 else {})))
    taken = [threading.Event() for _ in range(4)]

    def host_blocks():
        for number, event in enumerate(taken):
            event.set()
            yield {"labels": tf.fill([2, 4], number)}

    ahead = blocks.placed_ahead(strategy, host_blocks())
    for number in range(4):
        placed = next(ahead)["labels"]
        for part in strategy.experimental_local_results(placed):
            np.testing.assert_array_equal(part.numpy(), np.full((2, 4 // num_replicas), number))
        if number + 1 < len(taken):
            assert taken[number + 1].wait(timeout=60)
        # One ahead and no more: each takes memory of the devices.
        assert not any(event.is_set() for event in taken[number + 2 :])
    assert next(ahead, None) is None


def test_an_error_comes_at_its_own_block(tf, blocks):
    def host_blocks():
        yield {"labels": tf.zeros([1, 1])}
        raise DataError("photo.jpg cannot be decoded")

    ahead = blocks.placed_ahead(tf.distribute.get_strategy(), host_blocks())
    next(ahead)
    with pytest.raises(DataError, match="photo"):
        next(ahead)
