"""The parts of the input: the order, decoding, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.order import epoch_order

ROUNDS = 10


@pytest.mark.parametrize("num_examples", [60_000, 1_281_167])
def test_order_of_an_epoch(benchmark, num_examples):
    indices = benchmark.pedantic(
        lambda: epoch_order(0, num_examples, 0), rounds=ROUNDS, warmup_rounds=1
    )
    assert len(np.unique(indices)) == num_examples
    benchmark.extra_info["images_per_second"] = num_examples / benchmark.stats["mean"]


@pytest.mark.parametrize("side", [32, 180])
@pytest.mark.parametrize("name", _augmentation_names.NAMES)
def test_augmentation(benchmark, name, side):
    augmentation = Augmentation((name,), 10)
    generator = np.random.default_rng(0)
    images = tf.constant(generator.integers(0, 256, (32, side, side, 3), np.uint8))
    labels = tf.constant(generator.integers(0, 10, 32).astype(np.int32))
    draws = tf.constant(generator.random((32, augmentation.num_draws), np.float32))
    augment = tf.function(augmentation, autograph=False)
    benchmark.pedantic(
        lambda: augment(images, labels, draws)[0].numpy(), rounds=ROUNDS, warmup_rounds=2
    )
    benchmark.extra_info["images_per_second"] = 32 / benchmark.stats["mean"]
