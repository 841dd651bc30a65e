"""`python -m benchmarks.measure.collectives FOLDER CORES BYTES...`: times sums of these sizes.

Each of several workers runs this; they come together as trainers do, and sum as their steps do: in
a loop inside one compiled call, by the strategy's own all-reduce.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine.pinning import own_index, pin
from flowrate.records import write_json
from input_pipelines import start_tensorflow
from trainer.distributed.cluster import find_cluster
from trainer.distributed.worker import share_gpus

if TYPE_CHECKING:
    import tensorflow as tf

ANSWER = "collectives.json"
_BRINGUP_SECONDS = 120
_FLOAT_BYTES = 4
_NUM_SAMPLES = 7
# Of one sample: so many bytes in all, in at least and at most so many all-reduces.
_SAMPLE_BYTES, _LEAST, _MOST = 32 * 2**20, 2, 32


def main(argv: Sequence[str]) -> int:
    """Measures; the chief writes [[bytes, [seconds of each sample]], ...]."""
    folder, num_cores, *sizes = Path(argv[1]), *map(int, argv[2:])
    pin(own_index(), num_cores)
    cluster = find_cluster(os.environ)
    share_gpus(cluster, os.environ)
    start_tensorflow.import_tensorflow()
    from trainer.distributed.bringup import connect

    strategy = connect(cluster, _BRINGUP_SECONDS, 0)
    samples = [
        [size, all_reduce_seconds(strategy, [[size // _FLOAT_BYTES]])] for size in map(int, sizes)
    ]
    if cluster.is_chief:
        device = strategy.extended.worker_devices[0]
        write_json(
            folder / ANSWER, {"samples": samples, "device": "GPU" if "GPU" in device else "CPU"}
        )
    return 0


def all_reduce_seconds(
    strategy: tf.distribute.Strategy, shapes: Sequence[Sequence[int]], dtype: str = "float32"
) -> list[float]:
    """Returns the seconds of one all-reduce, as often as it was sampled; all workers call this.

    Args:
        strategy: whose replicas sum.
        shapes: of the tensors that are summed together, as a step's gradients are.
        dtype: of the tensors.
    """
    import tensorflow as tf

    num_bytes = tf.as_dtype(dtype).size * sum(math.prod(shape) for shape in shapes)
    # Of the size alone, so that all workers come to the same.
    count = max(_LEAST, min(_MOST, _SAMPLE_BYTES // num_bytes))
    reduce = _compiled(strategy, [tf.zeros(shape, dtype) for shape in shapes], count)
    reduce().numpy()  # traces, and sets up connections
    samples = []
    for _ in range(_NUM_SAMPLES):
        started = time.perf_counter()
        reduce().numpy()
        samples.append((time.perf_counter() - started) / count)
    return samples


def _compiled(strategy, messages: Sequence[tf.Tensor], count: int) -> Any:
    """Returns the function that does so many all-reduces, one after the other."""
    import tensorflow as tf

    def replica(total: tf.Tensor) -> tf.Tensor:
        # None begins before the one before has ended.
        with tf.control_dependencies([total]):
            tensors = [tf.identity(message) for message in messages]
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
        return total + sum(tf.cast(tf.reshape(each, [-1])[0], tf.float32) for each in sums)

    @tf.function(autograph=False)
    def reduce() -> tf.Tensor:
        def once(number: tf.Tensor, total: tf.Tensor):
            totals = strategy.run(replica, args=(total,))
            return number + 1, strategy.experimental_local_results(totals)[0]

        _, total = tf.while_loop(
            lambda number, _: number < count, once, [tf.constant(0), tf.constant(0.0)],
            parallel_iterations=1,
        )  # fmt: skip
        return total

    return reduce


if __name__ == "__main__":
    sys.exit(main(sys.argv))
