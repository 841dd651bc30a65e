"""Dropout that depends on (seed, step, layer, replica) and on nothing else.

Keras layers draw from a counter kept in a variable. Under MirroredStrategy that variable is
mirrored, so every replica draws the same mask; and a counter is one more thing to restore. Here
each layer's generator is told to derive its seed instead, so a model file uses keras.layers.Dropout
as usual.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

# int32 [2]: the seed of the step being traced, in this replica's thread.
_step_seed: contextvars.ContextVar[tf.Tensor] = contextvars.ContextVar("step_seed")


def use_stateless_seeds(model: keras.Model) -> None:
    """Makes every random layer of the model take its seed from `step_seed`."""
    salt = 0
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            generator.next = functools.partial(_derive_seed, salt)
            salt += 1


@contextlib.contextmanager
def step_seed(seed: int, step: tf.Tensor) -> Iterator[None]:
    """Sets the seed for the layers called inside the block.

    Args:
        seed: of the run.
        step: int scalar, the step (0-based).
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    value = _fold(_fold(tf.constant([seed, 0], tf.int32), step), replica)
    token = _step_seed.set(value)
    try:
        yield
    finally:
        _step_seed.reset(token)


def _derive_seed(salt: int, ordered: bool = True) -> tf.Tensor:
    """Stands in for keras.random.SeedGenerator.next."""
    return _fold(_step_seed.get(), tf.constant(salt, tf.int32))


def _fold(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int32), alg="philox")
