"""Exact evaluation: every example counts once, on any number of replicas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

import numpy as np
import tensorflow as tf

from flowrate.errors import DataError, DivergedError
from input_pipelines.blocks import WHOLE, Share, evaluation_blocks
from input_pipelines.source import Source
from trainer.distributed.votes import Agreement
from trainer.engine import blocks
from trainer.engine.state import TrainState

# Loss, number correct, number of examples.
_NUM_SUMS = 3


class Evaluator:
    """Evaluates a state's model on sources; traced when first used.

    Args:
        state: whose model, and whose averaged weights if it keeps them.
        global_batch_size: what training holds at once; evaluation uses a multiple of it.
        compile_with_xla: whether the loop over batches is compiled.
        is_resident: keep on the devices what was evaluated once.
        share: the part of each batch that is this worker's.
    """

    def __init__(
        self,
        state: TrainState,
        global_batch_size: int,
        compile_with_xla: bool,
        is_resident: bool = False,
        share: Share = WHOLE,
    ):
        self._state = state
        self._strategy = state.strategy
        self._share = share
        self._image_shape = state.part.input_shape
        self._batch_size = blocks.evaluation_batch_size(self._image_shape, global_batch_size)
        # By the source's id; the source itself keeps the id from being used again.
        self._kept: dict[int, tuple[Source, list[dict]]] | None = {} if is_resident else None
        self._evaluate_block = tf.function(
            self._evaluate_block_fn, jit_compile=compile_with_xla or None, autograph=False
        )

    @overload
    def __call__(self, source: Source) -> dict[str, float]: ...

    @overload
    def __call__(self, source: Source, agreement: Agreement | None) -> dict[str, float] | None: ...

    def __call__(
        self, source: Source, agreement: Agreement | None = None
    ) -> dict[str, float] | None:
        """Evaluates on all examples of a source.

        Args:
            source: N examples.
            agreement: asked after each block; where it is to stop, the evaluation gives up.

        Returns:
            {"accuracy", "loss", "examples"}: shares and mean cross-entropy over N examples, without
            label smoothing; None where it gave up.

        Raises:
            DataError: a file cannot be decoded, or not every example was counted.
            DivergedError: the loss is not finite.
        """
        totals = np.zeros(_NUM_SUMS)
        nothing = np.zeros(0, np.float32)
        with self._state.weights_to_evaluate():
            for block in self._placed_blocks(source):
                ballot = agreement.ballot() if agreement is not None else nothing
                sums = self._evaluate_block(block, tf.constant(ballot)).numpy()
                # In float64, batch after batch: the order of a float32 sum would show.
                for row in sums[:, :_NUM_SUMS]:
                    totals += row
                if agreement is not None:
                    agreement.count(sums[-1, _NUM_SUMS:])
                    if agreement:
                        return None
        loss, correct, count = totals
        if count != len(source):
            raise DataError(f"evaluated {count:.0f} examples of {len(source)}.")
        if not np.isfinite(loss):
            raise DivergedError(
                f"the evaluation after step {self._state.progress.step} gives a loss that is not "
                "finite. Lower --learning_rate, or set --gradient_clip_norm=1."
            )
        return {"accuracy": correct / count, "loss": loss / count, "examples": int(count)}

    def _placed_blocks(self, source: Source) -> Iterator[dict]:
        """Yields the examples on the devices, in order; from there, where they were kept."""
        if self._kept and id(source) in self._kept:
            yield from self._kept[id(source)][1]
            return
        placed = []
        steps = blocks.evaluation_block_steps(len(source), self._batch_size, self._image_shape)
        for block in evaluation_blocks(
            source, self._image_shape,
            global_batch_size=self._batch_size, steps_per_block=steps, share=self._share,
        ):  # fmt: skip
            placed.append(blocks.place(self._strategy, block))
            yield placed[-1]
            if self._kept is None:
                placed.clear()
        if self._kept is not None:
            self._kept[id(source)] = (source, placed)

    def _evaluate_block_fn(self, block: dict, ballot: tf.Tensor) -> tf.Tensor:
        """Returns float32 [steps, 3 + ballot]: sum of losses, number correct, number of examples,
        and the sums of what workers tell each other.
        """
        tensor = self._strategy.experimental_local_results(block["images"])[0]
        num_steps = tensor.shape[0]
        width = _NUM_SUMS + ballot.shape[0]
        sums = tf.TensorArray(tf.float32, size=num_steps, element_shape=[width])

        def one_step(position, sums):
            values = self._strategy.run(self._replica_step, args=(block, position, ballot))
            (values, *_) = self._strategy.experimental_local_results(values)
            return position + 1, sums.write(position, values)

        _, sums = tf.while_loop(
            lambda position, _: position < num_steps, one_step, [tf.constant(0), sums]
        )
        return sums.stack()

    def _replica_step(
        self, block: dict[str, tf.Tensor], position: tf.Tensor, ballot: tf.Tensor
    ) -> tf.Tensor:
        images, labels = block["images"][position], block["labels"][position]
        weights = block["weights"][position]
        logits = self._state.part(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        sums = tf.stack(
            [
                # where, not a product: a padded row may hold anything, and 0 * NaN is NaN.
                tf.reduce_sum(tf.where(weights > 0, losses, 0.0)),
                tf.reduce_sum(tf.where(correct, weights, 0.0)),
                tf.reduce_sum(weights),
            ]
        )
        ballot = ballot * self._share.count / self._strategy.num_replicas_in_sync
        sums = tf.concat([sums, ballot], axis=0)
        if self._strategy.num_replicas_in_sync == 1:
            return sums
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
