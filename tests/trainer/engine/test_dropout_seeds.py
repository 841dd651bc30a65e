"""Dropout: another mask on every replica, step and layer, and the same one again after a resume."""

from __future__ import annotations

import numpy as np
import pytest

NUM_REPLICAS = 4


@pytest.fixture
def draw_masks(tf):
    """Returns a function (seed, step) -> float [replicas, 2 layers, 1000]: what dropout keeps."""
    import keras

    from trainer.config import TrainConfig
    from trainer.distributed.strategy import build_strategy
    from trainer.engine import dropout_seeds as randomness

    strategy = build_strategy(TrainConfig(strategy="mirrored", virtual_devices=NUM_REPLICAS))
    with strategy.scope():
        inputs = keras.Input((1000,))
        first = keras.layers.Dropout(0.5)(inputs)
        model = keras.Model(inputs, [first, keras.layers.Dropout(0.5)(inputs)])
    randomness.use_stateless_seeds(model)

    @tf.function
    def draw(seed, step):
        def replica():
            with randomness.step_seed(seed, step):
                return tf.stack(model(tf.ones([1, 1000]), training=True))[:, 0]

        return strategy.run(replica)

    def masks(seed: int, step: int) -> np.ndarray:
        results = strategy.experimental_local_results(draw(seed, tf.constant(step)))
        return np.stack([result.numpy() for result in results])

    return masks


def test_masks_differ_between_replicas_layers_steps_and_seeds(draw_masks):
    masks = np.concatenate([draw_masks(0, 7), draw_masks(0, 8), draw_masks(1, 7)])
    rows = masks.reshape(-1, 1000)
    assert len(np.unique(rows, axis=0)) == len(rows) == 3 * NUM_REPLICAS * 2


def test_masks_keep_half(draw_masks):
    kept = (draw_masks(0, 3) > 0).mean()
    assert 0.45 < kept < 0.55


def test_masks_come_again(draw_masks):
    np.testing.assert_array_equal(draw_masks(0, 7), draw_masks(0, 7))
