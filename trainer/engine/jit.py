"""Whether XLA compiles the training loop: the rule, and its reason in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import keras

from flowrate.errors import ConfigError
from trainer.config import TrainConfig, check_jit
from trainer.engine.cpu_convolutions import (
    is_plain_convolution,
    is_plain_pooling,
    largest_patches_bytes,
)

# Measured with `mnist cnn` on 2 cores with AVX2: with 2 and 4.5 MB of patches, products of matrices
# ran 1.3 to 2.3 times as fast as oneDNN's convolutions; with 9 and 18 MB as fast; with 36 MB, and
# with `cnn5x5` and `flowers_cnn` (80 MB and more), slower.
_MAX_PATCHES_BYTES = 6 * 2**20
# XLA takes 3 s longer than TensorFlow to build such a loop; a shorter run does not earn them back.
_MIN_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class JitChoice:
    """What XLA compiles, and why.

    Attributes:
        compile: the training loop.
        reason: in words.
        matrix_convolutions: compute its convolutions as products of matrices.
    """

    compile: bool
    reason: str
    matrix_convolutions: bool = False

    @property
    def compile_evaluation(self) -> bool:
        """Whether to compile the evaluation: its large batches leave no gain to products."""
        return self.compile and not self.matrix_convolutions


def choose_jit(
    config: TrainConfig,
    model: keras.Model,
    num_replicas: int,
    on_gpu: bool,
    cpu_flags: Collection[str],
    total_steps: int,
) -> JitChoice:
    """Chooses for `--jit=auto`.

    On CPUs XLA runs small dense models faster (no dispatch per operation). Its own convolutions are
    many times slower than oneDNN's, so they are never used there; as products of matrices, small
    ones are faster where oneDNN has no AVX512.

    Args:
        config: what was asked for.
        model: to be trained.
        num_replicas: that share a step.
        on_gpu: whether the replicas are GPUs.
        cpu_flags: instruction sets of the CPU.
        total_steps: of the run.

    Raises:
        ConfigError: `--jit=on` where the loop cannot be compiled.
    """
    check_jit(config, num_replicas)
    choice = _choose(config, model, num_replicas, on_gpu, cpu_flags, total_steps)
    # XLA would end the compilation with "GPU MaxPool gradient ops do not yet have a deterministic
    # XLA implementation", on CPUs too (TensorFlow 2.21); comparisons in its place have one.
    if not (config.deterministic and choice.compile and _has_max_pooling(model, choice)):
        return choice
    if config.jit == "on":
        raise ConfigError(
            f"--jit=on: XLA has no deterministic gradient of the max pooling in "
            f"--model={config.model}; use --jit=auto, or leave out --deterministic."
        )
    return JitChoice(False, "XLA has no deterministic gradient of max pooling")


def is_dense(model: keras.Model) -> bool:
    """Returns whether no weight has more than two dimensions: no convolution, no attention."""
    return all(len(weight.shape) <= 2 for weight in model.weights)


def _choose(
    config: TrainConfig,
    model: keras.Model,
    num_replicas: int,
    on_gpu: bool,
    cpu_flags: Collection[str],
    total_steps: int,
) -> JitChoice:
    if config.debug_nan:
        return JitChoice(False, "--debug_nan")
    if config.jit != "auto":
        is_on = config.jit == "on"
        return JitChoice(is_on, f"--jit={config.jit}", is_on and not on_gpu and not is_dense(model))
    if num_replicas > 1:
        return JitChoice(False, "XLA cannot compile collectives between replicas")
    if on_gpu:
        return JitChoice(True, "one GPU")
    if is_dense(model):
        return JitChoice(True, "a dense model on one CPU device")
    if not _has_small_convolutions(model, config.micro_batch_size) or "avx512f" in cpu_flags:
        return JitChoice(False, "XLA is slow at convolutions on CPUs")
    # The length decides nothing that shows in the bits: a run may be trained further.
    if total_steps < _MIN_STEPS and not config.deterministic:
        return JitChoice(False, f"fewer than {_MIN_STEPS:,} steps do not repay the compiling")
    return JitChoice(True, "small convolutions on one CPU device", matrix_convolutions=True)


def _has_max_pooling(model: keras.Model, choice: JitChoice) -> bool:
    """Returns whether the step has a max pooling that no comparisons take the place of."""
    kinds = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D)
    return any(
        isinstance(layer, kinds) and not (choice.matrix_convolutions and is_plain_pooling(layer))
        for layer in model._flatten_layers()
    )


def _has_small_convolutions(model: keras.Model, rows: int) -> bool:
    """Returns whether all is dense or a plain convolution whose patches stay in the cache."""
    layers = model._flatten_layers(include_self=False)
    return (
        all(is_plain_convolution(layer) or is_dense(layer) for layer in layers)
        and largest_patches_bytes(model, rows) <= _MAX_PATCHES_BYTES
    )
