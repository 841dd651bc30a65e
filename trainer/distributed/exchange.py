"""The exchange of a step: the gradients and figures of all replicas, summed."""

from __future__ import annotations

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.distributed.strategy import is_on_gpu

_MEBIBYTE = 2**20
# Between CPUs of several workers the first gradients travel while the last are computed. Over
# 1 Gbit/s, flowers_cnn on 2 workers of one core each: 3.0 steps/s with messages of a few MiB, 2.3
# with one. On GPUs it has not been measured.
_BUCKET_MIB = 4


class Exchange:
    """Sums over all replicas, called by each inside the compiled step.

    Args:
        config: whose gradient_dtype and gradient_bucket_mib say what a message holds.
        strategy: whose replicas sum.
        num_workers: processes; the time is taken where there are several.

    Attributes:
        is_timed: whether the time is taken. Not with --deterministic: TensorFlow then refuses to
            read a clock within a step ("Timestamp cannot be called when determinism is enabled").
    """

    def __init__(self, config: TrainConfig, strategy: tf.distribute.Strategy, num_workers: int):
        self._strategy = strategy
        self._num_workers = num_workers
        self.is_timed = num_workers > 1 and not config.deterministic
        self._dtype = tf.dtypes.as_dtype(config.gradient_dtype)
        bucket_mib = config.gradient_bucket_mib
        if bucket_mib is None:
            bucket_mib = _BUCKET_MIB if num_workers > 1 and not is_on_gpu() else 0
        self._options = tf.distribute.experimental.CommunicationOptions(
            bytes_per_pack=bucket_mib * _MEBIBYTE
        )

    def sum(
        self, gradients: list[tf.Tensor], figures: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """Returns the sums of the gradients and of the figures, and the seconds that were waited.

        Args:
            gradients: of this replica, any shapes, float32.
            figures: float32 [n]; they are never rounded.

        Returns:
            The seconds are float32 [1]: from all gradients being there to all sums being there, so
            what of the exchange goes on beside the computing does not count; [0] where no time is
            taken.
        """
        if not self.is_timed:
            return *self._sum(gradients, figures), tf.zeros([0])
        with tf.control_dependencies([*gradients, figures]):
            started = tf.timestamp()
        gradients, figures = self._sum(gradients, figures)
        with tf.control_dependencies([*gradients, figures]):
            seconds = tf.timestamp() - started
        return gradients, figures, tf.cast(seconds, tf.float32)[tf.newaxis]

    def share_of(self, ballot: tf.Tensor) -> tf.Tensor:
        """Returns what a replica adds to the figures of what its worker tells, float32 [n]."""
        return ballot * self._num_workers / self._strategy.num_replicas_in_sync

    def _sum(self, gradients, figures) -> tuple[list[tf.Tensor], tf.Tensor]:
        if self._strategy.num_replicas_in_sync == 1:
            return gradients, figures
        if self._dtype == tf.float32:
            # One call: TensorFlow packs the tensors into few messages.
            *gradients, figures = self._all_reduce([*gradients, figures])
            return gradients, figures
        rounded = self._all_reduce([tf.cast(gradient, self._dtype) for gradient in gradients])
        return [tf.cast(gradient, tf.float32) for gradient in rounded], self._all_reduce(figures)

    def _all_reduce(self, tensors):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors, self._options)
