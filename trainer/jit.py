"""Whether XLA compiles the training loop: the rule, and its reason in words."""

from __future__ import annotations

import dataclasses

import keras

from trainer.config import TrainConfig, check_jit


@dataclasses.dataclass(frozen=True)
class JitChoice:
    """Whether to compile, and why."""

    compile: bool
    reason: str


def choose_jit(
    config: TrainConfig, model: keras.Model, num_replicas: int, on_gpu: bool
) -> JitChoice:
    """Chooses for `--jit=auto`.

    On CPUs XLA runs small dense models faster (no dispatch per operation), but its convolutions
    are many times slower than oneDNN's.

    Raises:
        ConfigError: `--jit=on` where the loop cannot be compiled.
    """
    check_jit(config, num_replicas)
    if config.jit != "auto":
        return JitChoice(config.jit == "on", f"--jit={config.jit}")
    if num_replicas > 1:
        return JitChoice(False, "XLA cannot compile collectives between replicas")
    if on_gpu:
        return JitChoice(True, "one GPU")
    if is_dense(model):
        return JitChoice(True, "a dense model on one CPU device")
    return JitChoice(False, "XLA is slow at convolutions on CPUs")


def is_dense(model: keras.Model) -> bool:
    """Returns whether no weight has more than two dimensions: no convolution, no attention."""
    return all(len(weight.shape) <= 2 for weight in model.weights)
