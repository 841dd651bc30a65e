"""What the workers of one run tell each other: sums, and the chief's bytes to all.

Everything goes through the strategy's own all-reduce, in 32-bit floats, which every kind of device
can sum: the workers need no files in common, and no ports besides TensorFlow's.
"""

from __future__ import annotations

import io
import json

import numpy as np
import tensorflow as tf

from flowrate.errors import DataError
from flowrate.records import to_json
from input_pipelines.blocks import Share
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import Checkpoint
from trainer.distributed.cluster import Cluster

# A fixed length, so that one traced function serves all.
_CHUNK = 2**18


class Team:
    """The workers of a run, as one of them sees it; each method is called by all, in one order.

    Args:
        cluster: who they are.
        strategy: what connects them.
    """

    def __init__(self, cluster: Cluster, strategy: tf.distribute.MultiWorkerMirroredStrategy):
        self.cluster = cluster
        self.strategy = strategy
        self._sum = tf.function(self._sum_fn, autograph=False)

    @property
    def share(self) -> Share:
        """The part of each batch that is this worker's."""
        return Share(self.cluster.index, self.cluster.num_workers)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Returns the sum over the workers of float32 [n], the same bits for all of them."""
        padded = np.pad(array.astype(np.float32), (0, -len(array) % _CHUNK))
        parts = [self._sum_chunk(part) for part in padded.reshape(-1, _CHUNK)]
        return np.concatenate([*parts, np.empty(0, np.float32)])[: len(array)]

    def bytes_of_chief(self, data: bytes | None) -> bytes:
        """Returns what the chief has given, to all workers; others may give None."""
        whole = b""
        if self.cluster.is_chief:
            assert data is not None
            whole = data
        # Halves of words: a 32-bit float holds each exactly.
        length_halves = np.frombuffer(np.uint64(len(whole)).tobytes(), np.uint16)
        length = int(self.sum(length_halves).astype(np.uint16).view(np.uint64)[0])
        halves = np.zeros(-(-length // 2), np.uint16)
        if self.cluster.is_chief:
            halves = np.frombuffer(whole + b"\0" * (length % 2), np.uint16)
        return self.sum(halves).astype(np.uint16).tobytes()[:length]

    def checkpoint_of_chief(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Returns the checkpoint that the chief has read, or None where it found none."""
        data = b""
        if self.cluster.is_chief and checkpoint:
            buffer = io.BytesIO()
            progress = json.dumps(checkpoint.progress.to_json()).encode()
            arrays = {**checkpoint.arrays, "progress": np.frombuffer(progress, np.uint8)}
            # No array is called allow_pickle, a flag of NumPy's since 2.2.
            np.savez(buffer, **arrays)  # type: ignore[arg-type]
            data = buffer.getvalue()
        data = self.bytes_of_chief(data)
        if not data:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        progress = json.loads(arrays.pop("progress").tobytes())
        written_at = checkpoint.written_at if checkpoint else None
        return Checkpoint(arrays, Progress.from_json(progress), written_at)

    def check_same(self, what: str, facts: dict) -> None:
        """Checks that all workers have the same facts, JSON-able, as the chief.

        Raises:
            DataError: this worker's differ.
        """
        chiefs = json.loads(self.bytes_of_chief(to_json(facts).encode()))
        ours = json.loads(to_json(facts))
        differing = [
            f"{name}: {chiefs.get(name)} there, {ours.get(name)} here"
            for name in sorted(chiefs.keys() | ours.keys())
            if chiefs.get(name) != ours.get(name)
        ]
        if differing:
            raise DataError(
                f"{what} of worker {self.cluster.index} differ from the chief's "
                f"({'; '.join(differing)}); all workers need the same."
            )

    def wait_for_all(self) -> None:
        """Returns when every worker has come here."""
        self.sum(np.zeros(1, np.float32))

    def _sum_chunk(self, chunk: np.ndarray) -> np.ndarray:
        replicas = len(self.strategy.extended.worker_devices)

        def value(context: tf.distribute.ValueContext) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(chunk if is_first else np.zeros_like(chunk))

        values = self.strategy.experimental_distribute_values_from_function(value)
        (total, *_) = self.strategy.experimental_local_results(self._sum(values))
        return total.numpy()

    def _sum_fn(self, values):
        def sum_replica(value: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # identity: an argument of the function has no device, and a sum needs one.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

        return self.strategy.run(sum_replica, args=(values,))
