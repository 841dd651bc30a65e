"""Floating-point operations per step, and how many a second this machine can do at most."""

from __future__ import annotations

import time

import tensorflow as tf

from trainer.run import TrainingRun

# Large enough to be bound by arithmetic, small enough for a CPU; on GPUs the larger one.
_CPU_SIDE, _GPU_SIDE = 1024, 8192
_SECONDS = 0.5
_DTYPES = {"mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16, "float32": tf.float32}


def flops_per_step(run: TrainingRun) -> float | None:
    """Returns what TensorFlow's cost analysis counts for one step; None for several replicas.

    Each operation's registered cost, over the forward and the backward pass and the update; a
    multiplication and an addition count as two.
    """
    if run.state.strategy.num_replicas_in_sync > 1:
        return None
    graph = run.engine.graph_of_one_step()
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    cost = tf.compat.v1.profiler.profile(graph, options=options.build())
    return float(cost.total_float_ops) or None


def matmul_peak_flops_per_second(precision: str) -> float:
    """Measures the fastest of repeated matrix products in this precision, on one device."""
    dtype = _DTYPES[precision]
    side = _GPU_SIDE if tf.config.list_logical_devices("GPU") else _CPU_SIDE
    one, other = (tf.cast(tf.random.uniform([side, side], seed=n), dtype) for n in (1, 2))

    @tf.function(autograph=False)
    def product() -> tf.Tensor:
        return tf.reduce_sum(tf.cast(tf.matmul(one, other)[:1, :1], tf.float32))

    product()
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < _SECONDS:
        begun = time.perf_counter()
        product().numpy()
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best
