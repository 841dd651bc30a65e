"""Which flags go together, and with which data and devices. No TensorFlow here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flowrate import options
from flowrate.errors import ConfigError
from input_pipelines.augmentation import names as _augmentation_names

if TYPE_CHECKING:
    from trainer.config import TrainConfig

STRATEGIES = ("one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu")
# Those of several processes.
_CLUSTER_STRATEGIES = ("multi_worker_mirrored", "parameter_server")


def check_combinations(config: TrainConfig) -> None:
    """Raises ConfigError for flags that cannot work together, wherever they are run."""
    _check_folders(config)
    _check_strategy(config)
    check_divides(config, max(1, config.virtual_devices))
    _check_length(config)
    _check_optimization(config)
    _check_debug_nan(config)
    _check_freezing(config)


def check_divides(config: TrainConfig, num_replicas: int) -> None:
    """Raises ConfigError, with the nearest sizes that work, if a batch does not divide evenly."""
    size, num_parts = config.global_batch_size, config.gradient_accumulation
    multiple = num_replicas * num_parts
    remainder = size % multiple
    if remainder:
        below, above = size - remainder, size - remainder + multiple
        good = f"{below} or {above}" if below else f"{above}"
        among = f" among {num_replicas} replicas" if num_replicas > 1 else ""
        parts = f" into --gradient_accumulation={num_parts} parts" if num_parts > 1 else ""
        raise ConfigError(f"--global_batch_size={size} does not divide{among}{parts}; use {good}.")


def check_mixes_pairs(augmentation: tuple[str, ...], per_replica_batch_size: int) -> None:
    """Raises ConfigError if an augmentation that works on pairs meets an odd batch."""
    mixing = [name for name in augmentation if name in _augmentation_names.MIXING]
    if mixing and per_replica_batch_size % 2:
        raise ConfigError(
            f"--augmentation={mixing[0]} blends pairs, but each replica has "
            f"{per_replica_batch_size} examples per step; use an even number."
        )


def check_profiled_steps(config: TrainConfig, total_steps: int) -> None:
    """Raises ConfigError if the steps to profile do not lie within the run."""
    steps = config.profiled_steps()
    if steps and steps[1] > total_steps:
        raise ConfigError(
            f"--profile_steps={config.profile_steps}: the run ends with step {total_steps}; give "
            "steps within it."
        )


def _check_folders(config: TrainConfig) -> None:
    for name in ("data_dir", "run_dir"):
        value = getattr(config, name)
        if value and "://" in value:  # It would become a folder of that name.
            raise ConfigError(
                f"--{name}={value}: is an address; give a folder of this machine, such as one that "
                "is mounted."
            )


def _check_strategy(config: TrainConfig) -> None:
    strategy = config.strategy
    if strategy not in STRATEGIES:
        near = options.nearest_name(strategy, STRATEGIES)
        raise ConfigError(f"--strategy={strategy}: choose from {', '.join(STRATEGIES)}.{near}")
    if strategy in _CLUSTER_STRATEGIES and not config.run_dir:
        raise ConfigError(
            f"--strategy={strategy} needs --run_dir=FOLDER, the same for all workers."
        )
    if strategy == "parameter_server":
        _check_parameter_server(config)
    if config.tpu_name and strategy != "tpu":
        raise ConfigError(f"--tpu_name={config.tpu_name} is of use with --strategy=tpu only.")
    if config.virtual_devices > 1:
        if strategy in ("one_device", "tpu"):
            raise ConfigError(
                f"--virtual_devices={config.virtual_devices} makes no difference to "
                f"--strategy={strategy}; use --strategy=mirrored."
            )
        check_jit(config, config.virtual_devices)


def _check_parameter_server(config: TrainConfig) -> None:
    """Raises ConfigError for a flag that asynchronous training cannot follow."""
    reasons = {
        "virtual_devices": "each worker is one replica",
        "jit": "XLA cannot compile a step that spans several processes",
        "cache": "each worker keeps the decoded training set in its memory",
        "precision": "workers cannot lower the scale of the loss together; use mixed_bfloat16",
        "deterministic": "gradients are applied in the order in which they come",
        "weights": "the parameter servers start from random weights",
        "freeze": "each worker trains all weights",
        "backbone_rate": "each worker trains all weights alike",
        "steps_per_call": "the chief hands out single steps",
        "gradient_dtype": "nothing is summed over replicas",
        "gradient_bucket_mib": "nothing is summed over replicas",
        "on_divergence": "steps are under way at any time",
        "class_weights": "its own step does not weigh the loss; use --balance",
        "gradient_accumulation": "nothing waits for the end of a large batch; lower "
        "--global_batch_size",
        "profile_steps": "the chief, who would be profiled, trains no step",
    }
    taken = {
        "jit": ("auto", "off"),
        "cache": ("auto", "memory"),
        "precision": ("float32", "mixed_bfloat16", "auto"),
        "gradient_dtype": ("float32",),
        "weights": ("none",),
        "freeze": ("none",),
        "backbone_rate": (1.0,),
        "on_divergence": ("stop",),
        "class_weights": ("none",),
        "gradient_accumulation": (1,),
    }
    for name, reason in reasons.items():
        value = getattr(config, name)
        if value and value not in taken.get(name, ()):
            raise ConfigError(f"--{name}={value}: not with --strategy=parameter_server: {reason}.")


def check_jit(config: TrainConfig, num_replicas: int) -> None:
    """Raises ConfigError if XLA is demanded where it cannot compile the loop."""
    if config.jit == "on" and num_replicas > 1:
        raise ConfigError(
            f"--jit=on: XLA cannot compile a loop over {num_replicas} replicas "
            "(their collectives lie inside it); use --jit=auto."
        )


def _check_length(config: TrainConfig) -> None:
    if config.epochs is not None and config.steps is not None:
        raise ConfigError(
            f"--epochs={config.epochs} and --steps={config.steps} both say how long to train; "
            "give one of them."
        )
    if config.steps is not None:
        check_profiled_steps(config, config.steps)


def _check_freezing(config: TrainConfig) -> None:
    frozen = config.freeze != "none"
    if frozen and config.weights == "none":
        raise ConfigError(
            f"--freeze={config.freeze} would keep random weights as they are; give --weights."
        )
    if config.unfreeze_at and not frozen:
        raise ConfigError(
            f"--unfreeze_at={config.unfreeze_at}: nothing is frozen; give --freeze=backbone."
        )
    if config.unfreeze_at and config.unfreeze_at >= (config.epochs or math.inf):
        raise ConfigError(
            f"--unfreeze_at={config.unfreeze_at}: the run ends after --epochs={config.epochs}; "
            "give a lower number, or more --epochs."
        )
    if config.backbone_rate != 1 and config.freeze == "backbone" and not config.unfreeze_at:
        raise ConfigError(
            f"--backbone_rate={config.backbone_rate:g}: with --freeze=backbone only the head is "
            "trained; add --unfreeze_at=EPOCH, or leave one of the two out."
        )


def _check_debug_nan(config: TrainConfig) -> None:
    reasons = {
        "strategy": (_CLUSTER_STRATEGIES, "only one process can stop with the operation"),
        "jit": (("on",), "XLA leaves no operation to check"),
        "precision": (("mixed_float16",), "an overflow is no fault there; use float32"),
    }
    for name, (excluded, reason) in reasons.items():
        value = getattr(config, name)
        if config.debug_nan and value in excluded:
            raise ConfigError(f"--debug_nan: not with --{name}={value}: {reason}.")


def _check_optimization(config: TrainConfig) -> None:
    if config.weight_decay and config.optimizer == "adam":
        raise ConfigError(
            f"--weight_decay={config.weight_decay:g} is not for --optimizer=adam; use adamw."
        )
    if config.balance and config.class_weights == "balanced":
        raise ConfigError(
            "--balance and --class_weights=balanced: small classes would count twice over; give "
            "one of them."
        )
    if config.schedule == "piecewise":
        config.milestones()
