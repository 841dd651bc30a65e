"""The flags of the trainer, each written once; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import Any

from flowrate.errors import ConfigError
from flowrate.options import option
from flowrate.text import masked_values
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.data_flags import DATA, DataFlags
from models import MODELS
from trainer.optimizers import OPTIMIZERS

DEFAULT_EPOCHS = 10

_MODEL, _DEVICES = "Model", "Devices and speed"
_OPTIMIZATION, _RUN = "Optimization", "Run"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags(DataFlags):
    """All flags with their defaults and bounds; TrainConfig checks their values."""

    augmentation: str = option(
        "none", group=DATA,
        help="none, preset (the data set's own), or a comma list of "
        f"{', '.join(_augmentation_names.NAMES)}.",
    )  # fmt: skip
    cache: str = option(
        "auto", group=DATA, choices=("auto", "none", "memory", "disk", "device"),
        help="Where decoded images are kept; device: on each device, where no input "
        "pipeline is left.",
    )  # fmt: skip
    on_bad_image: str = option(
        "error", group=DATA, choices=("error", "skip"),
        help="Images that cannot be used: name all and stop, or train as if they were not there.",
    )  # fmt: skip
    accept_data_change: bool = option(
        False, group=DATA, help="Go on with a run though its image files have changed."
    )

    balance: bool = option(
        False, group=DATA,
        help="See each class equally often: examples of small classes more often than others.",
    )  # fmt: skip

    model: str = option(
        "auto", group=_MODEL,
        help=f"auto (the data set's usual one) or: {', '.join(MODELS.spellings())}.",
    )  # fmt: skip
    weights: str = option(
        "none", group=_MODEL,
        help="What training starts from: none (random weights), imagenet, a file (.weights.h5, "
        ".keras, .npz), or the directory of a run; other classes get a new head.",
    )  # fmt: skip
    freeze: str = option(
        "none", group=_MODEL,
        help="Layers that are not trained: none; backbone, all but the head; or a comma list of "
        "prefixes of layers' names.",
    )  # fmt: skip
    unfreeze_at: int = option(
        0, group=_MODEL, lower_bound=0,
        help="Epochs after which the frozen layers are trained too; 0: never.",
    )  # fmt: skip
    backbone_rate: float = option(
        1.0, group=_MODEL, lower_bound=0, upper_bound=1,
        help="Learning rate of all but the head, as a share of that of the head.",
    )  # fmt: skip
    label_smoothing: float = option(
        0.0, group=_MODEL, lower_bound=0, upper_bound=0.99,
        help="Share of each training target spread over all classes.",
    )  # fmt: skip

    class_weights: str = option(
        "none", group=_MODEL,
        help="What an example counts for in the training loss: none, all the same; balanced, "
        "inversely as its class is frequent; or a JSON file, as in {\"cat\": 2, \"dog\": 0.5}.",
    )  # fmt: skip

    strategy: str = option(
        "one_device", group=_DEVICES,
        help="How replicas are made: one_device; mirrored, one for each GPU; "
        "multi_worker_mirrored, the same in each of several processes (scripts/launch, TF_CONFIG); "
        "tpu (never tried).",
    )  # fmt: skip
    bringup_timeout: int = option(
        300, group=_DEVICES, lower_bound=1, upper_bound=86_400,
        help="Seconds to wait for the other processes of multi_worker_mirrored.",
    )  # fmt: skip
    tpu_name: str | None = option(
        None, group=_DEVICES,
        help="The TPU of --strategy=tpu: its name, grpc://host:port, or local; unset: TPU_NAME.",
    )  # fmt: skip
    virtual_devices: int = option(
        0, group=_DEVICES, lower_bound=0, upper_bound=64,
        help="Split the CPU into so many devices, to try --strategy=mirrored anywhere.",
    )  # fmt: skip
    precision: str = option(
        "float32", group=_DEVICES, choices=("float32", "mixed_bfloat16", "mixed_float16", "auto"),
        help="What layers compute in; mixed_float16 scales the loss; auto takes the fastest that "
        "the device is built for.",
    )  # fmt: skip
    jit: str = option(
        "auto", group=_DEVICES, choices=("auto", "on", "off"),
        help="Compile the training loop with XLA.",
    )  # fmt: skip
    steps_per_call: int = option(
        0, group=_DEVICES, lower_bound=0, upper_bound=100_000,
        help="Most steps in one compiled call; 0: what fits in half a second.",
    )  # fmt: skip
    gradient_dtype: str = option(
        "float32", group=_DEVICES, choices=("float32", "bfloat16"),
        help="What replicas send each other; bfloat16: half the bytes, and rounded.",
    )  # fmt: skip
    gradient_bucket_mib: int | None = option(
        None, group=_DEVICES, lower_bound=0, upper_bound=1024,
        help="Send gradients in messages of about so many MiB, each as soon as it is there; 0: all "
        "in one; unset: what pays.",
    )  # fmt: skip

    global_batch_size: int = option(
        32, group=_OPTIMIZATION, lower_bound=1, upper_bound=2**20, alias="batch_size",
        help="Examples per step, over all replicas.",
    )  # fmt: skip
    gradient_accumulation: int = option(
        1, group=_OPTIMIZATION, lower_bound=1, upper_bound=2**20,
        help="Train each batch in so many equal parts, one after the other, with one update: the "
        "memory of a part.",
    )  # fmt: skip
    epochs: int | None = option(
        None, group=_OPTIMIZATION, lower_bound=1, upper_bound=1_000_000,
        help=f"How often each example is seen; unset: {DEFAULT_EPOCHS}, unless --steps is given.",
    )  # fmt: skip
    steps: int | None = option(
        None, group=_OPTIMIZATION, lower_bound=1, upper_bound=1_000_000_000,
        help="Length in steps, instead of --epochs.",
    )  # fmt: skip
    optimizer: str = option(
        "adam", group=_OPTIMIZATION, choices=tuple(OPTIMIZERS.names()),
        help="sgd has Nesterov momentum of --momentum.",
    )  # fmt: skip
    learning_rate: float = option(
        1e-3, group=_OPTIMIZATION, lower_bound=0, help="The highest learning rate of the schedule."
    )
    momentum: float = option(
        0.9, group=_OPTIMIZATION, lower_bound=0, upper_bound=1, help="Of sgd and muon."
    )
    schedule: str = option(
        "constant", group=_OPTIMIZATION, choices=("constant", "cosine", "piecewise"),
        help="How the learning rate goes on after warm-up: cosine falls to 0, piecewise to a tenth "
        "at each of --schedule_milestones.",
    )  # fmt: skip
    warmup_steps: int = option(
        0,
        group=_OPTIMIZATION,
        lower_bound=0,
        help="Steps over which the learning rate rises from 0.",
    )
    schedule_milestones: str = option(
        "0.5,0.75", group=_OPTIMIZATION,
        help="Where piecewise falls, as shares of the run, rising.",
    )  # fmt: skip
    weight_decay: float = option(
        0.0, group=_OPTIMIZATION, lower_bound=0,
        help="Decoupled; biases and normalization are left out. For adamw, sgd, lamb and muon.",
    )  # fmt: skip
    gradient_clip_norm: float = option(
        0.0, group=_OPTIMIZATION, lower_bound=0, help="Largest norm of the whole gradient; 0: any."
    )
    ema_decay: float = option(
        0.0, group=_OPTIMIZATION, lower_bound=0, upper_bound=0.999999,
        help="Evaluate and export a moving average of the weights with this decay; 0: do not.",
    )  # fmt: skip
    on_divergence: str = option(
        "stop", group=_OPTIMIZATION, choices=("stop", "rollback"),
        help="When the loss is no finite number: stop, or go back to the last checkpoint and on "
        "with half the learning rate.",
    )  # fmt: skip
    max_rollbacks: int = option(
        3, group=_OPTIMIZATION, lower_bound=1, upper_bound=100,
        help="Of --on_divergence=rollback: how often, before it stops after all.",
    )  # fmt: skip
    debug_nan: bool = option(
        False, group=_OPTIMIZATION,
        help="Name the operation that first gives a number that is not finite, and stop with its "
        "step: a step a call, without XLA, every operation checked; slow.",
    )  # fmt: skip
    early_stopping_patience: int = option(
        0, group=_OPTIMIZATION, lower_bound=0,
        help="Stop after this many evaluations without a better validation accuracy, and go back "
        "to the best weights; 0: never.",
    )  # fmt: skip

    run_dir: str | None = option(
        None, group=_RUN, help="Folder of the run; unset: runs/DATASET-MODEL-DATE-TIME."
    )
    resume: str = option(
        "auto", group=_RUN, choices=("auto", "never", "must"),
        help="What to do with a run that --run_dir already holds.",
    )  # fmt: skip
    seed: int = option(
        0, group=_RUN, lower_bound=0, upper_bound=2**31 - 1,
        help="Decides initial weights, order, augmentation, dropout and held-out examples.",
    )  # fmt: skip
    deterministic: bool = option(
        False, group=_RUN, help="Use only operations that give the same bits each time; slower."
    )
    log_every_steps: int = option(
        100, group=_RUN, lower_bound=1, help="Steps between lines of the log and of metrics.jsonl."
    )
    evaluate_every_steps: int = option(
        0, group=_RUN, lower_bound=0, help="Steps between evaluations; 0: at the end of each epoch."
    )
    checkpoint_every_steps: int = option(
        0, group=_RUN, lower_bound=0,
        help="Steps between checkpoints; 0: by the clock, every 10 s, or as rarely as keeps their "
        "cost below 3 % of the time.",
    )  # fmt: skip
    keep_checkpoints: int = option(
        3, group=_RUN, lower_bound=1, help="Latest checkpoints kept; the best is kept besides."
    )
    report: bool = option(
        True, group=_RUN,
        help="At the end, keep the answers to the test split and write report.html.",
    )  # fmt: skip
    stall_timeout: int = option(
        0, group=_RUN, lower_bound=0,
        help="Seconds after which a compiled call that does not end is given up, status 145; 0: "
        "only told of.",
    )  # fmt: skip
    profile_steps: str | None = option(
        None, group=_RUN, help="FIRST,LAST: write a TensorBoard profile of these steps."
    )

    @property
    def micro_batch_size(self) -> int:
        """Examples that are trained at once, over all replicas."""
        return self.global_batch_size // self.gradient_accumulation

    def milestones(self) -> tuple[float, ...]:
        """Returns `schedule_milestones` as shares of the run, rising, in (0, 1)."""
        try:
            shares = tuple(float(text) for text in self.schedule_milestones.split(","))
        except ValueError:
            shares = ()
        rising = all(low < high for low, high in zip((0.0, *shares), (*shares, 1.0)))
        if not shares or not rising:
            raise ConfigError(
                f"--schedule_milestones={self.schedule_milestones}: give rising shares between "
                "0 and 1, as in 0.5,0.75."
            )
        return shares

    def profiled_steps(self) -> tuple[int, int] | None:
        """Returns (first, last) of `profile_steps`, 1-based and inclusive, or None."""
        if self.profile_steps is None:
            return None
        first, comma, last = self.profile_steps.partition(",")
        if not (comma and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise ConfigError(f"--profile_steps={self.profile_steps}: give two steps, as in 20,30.")
        return int(first), int(last)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON-able dictionary for records; secrets are masked."""
        return masked_values(dataclasses.asdict(self))
