"""`--gradient_accumulation`: the gradient of a batch, of which a part is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

# A part's images, labels and targets, and its number in the run -> what is summed over the parts.
GradientsOf = Callable[..., tuple[list[tf.Tensor], tf.Tensor]]


def accumulated(
    gradients_of: GradientsOf,
    batch: Sequence[tf.Tensor],
    step: tf.Tensor,
    num_parts: int,
    shapes: Sequence[tf.TensorShape],
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Returns the sums over the parts of a replica's rows: gradients, and figures [2].

    A loop, and no chain of parts in one graph: TensorFlow would run parts beside each other that do
    not wait for each other, and hold the activations of all.

    Args:
        gradients_of: trains a part; the part's number is its own in the whole run.
        batch: tensors [rows, ...]; num_parts divides the rows.
        step: int64 scalar, 0-based.
        num_parts: at least 1.
        shapes: of the gradients.
    """
    if num_parts == 1:
        return gradients_of(*batch, step)
    parts = [tf.reshape(rows, [num_parts, -1, *rows.shape[1:]]) for rows in batch]

    def add(part: tf.Tensor, gradients: list[tf.Tensor], figures: tf.Tensor) -> list:
        number = step * num_parts + tf.cast(part, tf.int64)
        more, more_figures = gradients_of(*(rows[part] for rows in parts), number)
        return [part + 1, [a + b for a, b in zip(gradients, more)], figures + more_figures]

    _, gradients, figures = tf.while_loop(
        lambda part, *_: part < num_parts,
        add,
        [tf.constant(0), [tf.zeros(shape) for shape in shapes], tf.zeros([2])],
        parallel_iterations=1,
        maximum_iterations=num_parts,
    )
    return gradients, figures
