"""The compiled loop over steps: it ends where it was told to, or where training has gone wrong.

The figures of every step are looked at, and weights and optimizer every so many steps. All replicas
and workers have the same, so all end with the same step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Between two looks at weights and optimizer.
_STEPS_PER_CHECK = 50


class Trained(NamedTuple):
    """What came of a call.

    Attributes:
        end: int32 scalar, the position after the last step.
        figures: float32 [steps of the block, columns]; 0 of steps that were not trained.
        has_finite_state: bool scalar, whether weights and optimizer hold finite numbers.
    """

    end: tf.Tensor
    figures: tf.Tensor
    has_finite_state: tf.Tensor


def train_steps(
    one_step: Callable[[tf.Tensor], tf.Tensor],
    has_finite_state: Callable[[], tf.Tensor],
    start: tf.Tensor,
    num_steps: tf.Tensor,
    *,
    shape: tuple[int, int],
    num_checked: int,
    is_compiled: bool,
) -> Trained:
    """Trains steps one after the other, and none after one that has gone wrong.

    Args:
        one_step: position -> float32 [columns], the figures of the step there.
        has_finite_state: bool scalar, whether weights and optimizer hold finite numbers.
        start: int32 scalar, the first position.
        num_steps: int32 scalar.
        shape: steps of the block, and columns.
        num_checked: how many of the columns, from the first on, must be finite.
        is_compiled: by XLA.
    """

    def train_one(position, _, figures):
        row = one_step(position)
        is_sound = tf.reduce_all(tf.math.is_finite(row[:num_checked]))
        return position + 1, is_sound, figures.write(position, row)

    def train_and_check(position, is_sound, figures):
        position, is_sound, figures = train_one(position, is_sound, figures)
        is_due = position % _STEPS_PER_CHECK == 0
        return position, is_sound & tf.cond(is_due, has_finite_state, lambda: True), figures

    def train_to_check(position, _, figures):
        check = (position // _STEPS_PER_CHECK + 1) * _STEPS_PER_CHECK
        position, is_sound, figures = _while_sound(
            tf.minimum(check, end), train_one, position, figures
        )
        return position, is_sound & has_finite_state(), figures

    end = start + num_steps
    figures = tf.TensorArray(tf.float32, size=shape[0], element_shape=[shape[1]])
    # A branch within a step costs XLA 0.03 ms of the 0.19 of `mnist mlp`; a loop in a loop,
    # nothing. Without XLA TensorFlow 2.21 fails at some loops in loops (AlreadyExistsError:
    # tmp_var), and a branch costs nothing.
    body = train_to_check if is_compiled else train_and_check
    end_position, _, figures = _while_sound(end, body, start, figures)
    return Trained(end_position, figures.stack(), has_finite_state())


def _while_sound(end, body, position, figures):
    return tf.while_loop(
        lambda position, is_sound, _: (position < end) & is_sound,
        body,
        [position, tf.constant(True), figures],
    )
