"""TrainConfig: what was asked for, and which flags go together, and with which data and devices.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import math

from flowrate import options
from flowrate.errors import ConfigError
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.datasets import DATASETS
from models import MODELS
from trainer.flags import TrainFlags

MULTI_WORKER = "multi_worker_mirrored"
STRATEGIES = ("one_device", "mirrored", MULTI_WORKER, "tpu")
# Flags that a resumed run may change: they decide where, how fast and how it is reported, never
# what is computed.
CHANGEABLE_ON_RESUME = frozenset(
    {
        "accept_data_change", "data_dir", "cache", "on_bad_image", "strategy", "virtual_devices",
        "bringup_timeout", "tpu_name", "steps_per_call", "gradient_bucket_mib", "run_dir", "resume",
        "keep_checkpoints", "profile_steps", "report", "on_divergence", "max_rollbacks",
        "stall_timeout", "debug_nan",
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainFlags):
    """What was asked for: frozen, JSON-able, checked when made.

    Raises (on construction):
        ConfigError: a value, or a combination of values, that cannot work.
    """

    def __post_init__(self):
        options.check(self)
        DATASETS.check(self.dataset)
        if self.model != "auto":
            MODELS.check(self.model)
        _check_combinations(self)
        if self.augmentation != "preset":
            _augmentation_names.parse(self.augmentation)
        self.profiled_steps()


def _check_combinations(config: TrainConfig) -> None:
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
    if strategy == MULTI_WORKER and not config.run_dir:
        raise ConfigError(
            f"--strategy={strategy} needs --run_dir=FOLDER, the same for all workers."
        )
    if config.tpu_name and strategy != "tpu":
        raise ConfigError(f"--tpu_name={config.tpu_name} is of use with --strategy=tpu only.")
    if config.virtual_devices > 1:
        if strategy in ("one_device", "tpu"):
            raise ConfigError(
                f"--virtual_devices={config.virtual_devices} makes no difference to "
                f"--strategy={strategy}; use --strategy=mirrored."
            )
        check_jit(config, config.virtual_devices)


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
        "strategy": ((MULTI_WORKER,), "only one process can stop with the operation"),
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
