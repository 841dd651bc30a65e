"""The compiled loop over steps: it ends where it was told to, or where training has gone wrong.

The figures of every step are looked at, and weights and optimizer every so many steps. All replicas
and workers have the same, so all end with the same step.
"""

from __future__ import annotations

import functools
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


class StepLoop:
    """Trains steps one after the other, and none after one that has gone wrong.

    Args:
        one_step: position -> float32 [columns], the figures of the step there.
        has_finite_state: bool scalar, whether weights and optimizer hold finite numbers.
        shape: steps of the block, and columns.
        num_checked: how many of the columns, from the first on, must be finite.
        is_compiled: by XLA.
    """

    def __init__(
        self,
        one_step: Callable[[tf.Tensor], tf.Tensor],
        has_finite_state: Callable[[], tf.Tensor],
        *,
        shape: tuple[int, int],
        num_checked: int,
        is_compiled: bool,
    ):
        self._one_step = one_step
        self._has_finite_state = has_finite_state
        self._shape = shape
        self._num_checked = num_checked
        self._is_compiled = is_compiled

    def run(self, start: tf.Tensor, num_steps: tf.Tensor) -> Trained:
        """Trains `num_steps` steps (int32) from position `start` (int32) on, or fewer."""
        end = start + num_steps
        train = self._train_and_check
        if self._is_compiled:
            # A branch within a step costs XLA 0.03 ms of the 0.19 of `mnist mlp`; a loop in a loop,
            # nothing. Without XLA TensorFlow 2.21 fails at some loops in loops (AlreadyExistsError:
            # tmp_var), and a branch costs nothing.
            train = functools.partial(self._train_to_check, end)
        steps, columns = self._shape
        figures = tf.TensorArray(tf.float32, size=steps, element_shape=[columns])
        end, _, figures = self._while_sound(end, train, start, figures)
        return Trained(end, figures.stack(), self._has_finite_state())

    def _train_to_check(self, end, position, _, figures):
        check = (position // _STEPS_PER_CHECK + 1) * _STEPS_PER_CHECK
        position, is_sound, figures = self._while_sound(
            tf.minimum(check, end), self._train_one, position, figures
        )
        return position, is_sound & self._has_finite_state(), figures

    def _train_and_check(self, position, _, figures):
        position, is_sound, figures = self._train_one(position, _, figures)
        is_due = position % _STEPS_PER_CHECK == 0
        return position, is_sound & tf.cond(is_due, self._has_finite_state, lambda: True), figures

    def _train_one(self, position, _, figures):
        row = self._one_step(position)
        is_sound = tf.reduce_all(tf.math.is_finite(row[: self._num_checked]))
        return position + 1, is_sound, figures.write(position, row)

    def _while_sound(self, end, body, position, figures):
        return tf.while_loop(
            lambda position, is_sound, _: (position < end) & is_sound,
            body,
            [position, tf.constant(True), figures],
        )
