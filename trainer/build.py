"""Puts a TrainingRun together: model, optimizer, engine; restored where there is a past."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from flowrate.environment import describe_cpu
from flowrate.signals import StopRequest
from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.blocks import WHOLE
from input_pipelines.cache import TierChoice, apply_tier, choose_tier
from input_pipelines.device_memory import free_device_bytes
from input_pipelines.source import ArraySource, Source
from models import MODELS
from trainer.checkpoints.background import BackgroundSaver
from trainer.checkpoints.progress import Progress
from trainer.clock import PhaseClock
from trainer.config import TrainConfig, check_divides, check_mixes_pairs, check_profiled_steps
from trainer.data import TrainingData, may_differ
from trainer.distributed.follower import NoSaver, SilentWriter
from trainer.distributed.strategy import build_strategy, gpu_capability, is_on_gpu
from trainer.distributed.team import Team
from trainer.distributed.votes import Agreement
from trainer.engine import optimizers
from trainer.engine.batches import Batches
from trainer.engine.engine import StepEngine
from trainer.engine.evaluator import Evaluator
from trainer.engine.jit import choose_jit
from trainer.engine.profiling import StepProfiler
from trainer.engine.state import TrainState
from trainer.model.check import check_model
from trainer.model.frozen import features_of, freeze
from trainer.model.initial_weights import head_of, take_over
from trainer.model.precision import choose_precision
from trainer.model.weights import describe
from trainer.output.console import Console
from trainer.output.writers import RunWriter
from trainer.plan import make_plan
from trainer.run import Choices, TrainingRun
from trainer.run_dir.folder import RunDir


def build_run(
    config: TrainConfig,
    data: TrainingData,
    run_dir: RunDir,
    console: Console,
    clock: PhaseClock,
    stop: StopRequest,
    team: Team | None = None,
    previous: TrainingRun | None = None,
) -> TrainingRun:
    """Builds everything up to, not including, the first step.

    Args:
        config: what was asked for.
        data: to train on.
        run_dir: opened for this config.
        console: for the user.
        clock: counts the time it takes.
        stop: tells of signals.
        team: the workers of the run, where there are several.
        previous: the run up to --unfreeze_at, which this one follows in the same process.

    Raises:
        ConfigError: a flag that does not fit the devices or the data.
        DataError: an image that cannot be decoded.
        RunDirError: the run directory cannot be gone on with.
    """
    strategy = team.strategy if team else build_strategy(config)
    num_replicas = strategy.num_replicas_in_sync
    check_divides(config, num_replicas)
    check_mixes_pairs(data.augmentation, config.global_batch_size // num_replicas)
    cpu_flags = describe_cpu()["flags"]
    precision = choose_precision(config.precision, cpu_flags, gpu_capability())
    config = dataclasses.replace(config, precision=precision.policy)
    plan = make_plan(config, len(data.sources["train"]))
    check_profiled_steps(config, plan.total_steps)
    facts = {**data.facts(), "precision": precision.policy}
    run_dir.check_data(facts, plan.to_json(), may_differ(config))
    if previous:
        checkpoint = run_dir.go_back(previous.state.progress.num_rollbacks, plan.total_steps)
    else:
        checkpoint = run_dir.restore(config.resume, plan.total_steps)
    if team:
        team.check_same("flags and data", facts | plan.to_json() | {"seed": config.seed})
        checkpoint = team.checkpoint_of_chief(checkpoint)
    is_chief = team is None or team.cluster.is_chief
    num_workers = team.cluster.num_workers if team else 1
    share = team.share if team else WHOLE
    saver = make_saver(config, run_dir, console, clock) if is_chief else NoSaver()
    agreement = Agreement(stop, num_workers, saver.is_due)

    is_frozen = plan.is_frozen_after(checkpoint.progress.step if checkpoint else 0)
    end_step = plan.unfreeze_step if is_frozen and plan.unfreeze_step else plan.total_steps
    with clock.phase("build"):
        state, schedule = build_state(
            config, data, strategy, plan.total_steps, is_frozen, plan.unfreeze_step
        )
        state.team = team
        if checkpoint:
            state.restore(checkpoint)
            schedule.halve(state.progress.num_rollbacks)
        elif config.weights != "none":
            state.progress.weights = take_over(state.model, data.start, data.class_names)
            console.say(f"weights: {describe(state.progress.weights)}")
    with clock.phase("data"):
        tier, sources = keep_inputs(config, data, state, num_replicas // num_workers, console.say)
        example_shape = state.part.input_shape
    with clock.phase("build"):
        jit = choose_jit(
            config, state.part.runs, num_replicas, is_on_gpu(), cpu_flags, plan.total_steps
        )
        writer = (
            RunWriter(run_dir, plan, console, state.progress.step) if is_chief else SilentWriter()
        )
        batches = Batches(
            config,
            sources["train"],
            strategy,
            example_shape,
            len(data.class_names),
            first_step=state.progress.step,
            total_steps=end_step,
            augmentation=Augmentation(data.augmentation, len(data.class_names)),
            is_resident=tier.tier == "device",
            augment_in_step=not jit.compile,
            share=share,
        )
        engine = StepEngine(
            config,
            state,
            schedule,
            batches,
            jit=jit,
            total_steps=plan.total_steps,
            class_weights=data.class_weights,
            agreement=agreement,
            profiler=StepProfiler(config.profiled_steps(), run_dir.path / "tensorboard"),
            show_images=lambda images: writer.images(images, state.progress.step),
        )

    if previous:
        console.say(f"every layer is trained from step {plan.unfreeze_step + 1:,} on")
    else:
        splits = ", ".join(f"{len(source):,} {split}" for split, source in sources.items())
        workers = f"{num_workers} workers, " if num_workers > 1 else ""
        for line in (
            f"{data.model}, {state.model.count_params():,} parameters, on {data.info.title}: "
            f"{splits}",
            f"{config.strategy}, {workers}{num_replicas} replica{'s' * (num_replicas > 1)}",
            f"{plan.total_steps:,} steps of {plan.global_batch_size} examples, "
            f"{plan.epochs_at(plan.total_steps):.4g} epochs; {run_dir.path}",
        ):
            console.say(line)
    console.say(
        f"precision {precision.policy} ({precision.reason}); "
        f"XLA {'on' if jit.compile else 'off'} ({jit.reason}); cache {tier.tier} ({tier.reason})"
    )
    if checkpoint and not previous:
        console.say(checkpoint.describe_resumed())
        clock.counted_before = state.progress.counted_seconds
    run = TrainingRun(
        config=config,
        plan=plan,
        choices=Choices(cache=tier.tier, jit=jit.compile, precision=precision.policy),
        state=state,
        engine=engine,
        evaluator=Evaluator(
            state,
            config.micro_batch_size,
            jit.compile_evaluation,
            is_resident=tier.tier == "device",
            share=share,
        ),
        evaluation_split="validation" if "validation" in sources else "test",
        sources=sources,
        examples=data.sources["train"],
        schedule=schedule,
        run_dir=run_dir,
        saver=saver,
        writer=writer,
        clock=clock,
        stop=stop,
        agreement=agreement,
        team=team,
        num_workers=agreement.num_workers,
        num_replicas=num_replicas,
        end_step=end_step,
        saved_step=state.progress.step if checkpoint else None,
    )
    run.build_next = functools.partial(
        build_run, config, data, run_dir, console, clock, stop, team, previous=run
    )
    return run


def make_saver(
    config: TrainConfig, run_dir: RunDir, console: Console, clock: PhaseClock
) -> BackgroundSaver:
    """Returns what writes the checkpoints of a run."""
    return BackgroundSaver(
        run_dir.checkpoints,
        console.say,
        is_by_clock=not config.checkpoint_every_steps,
        lost_seconds=lambda: clock.seconds["checkpoint"],
    )


def keep_inputs(
    config: TrainConfig,
    data: TrainingData,
    state: TrainState,
    num_replicas: int,
    tell: Callable[[str], None],
) -> tuple[TierChoice, dict[str, Source]]:
    """Returns the cache tier chosen, and the sources as it keeps them: images, or the features that
    frozen layers give for them, where images are the same each time and features fit.

    Raises:
        ConfigError, DataError, DiskError: as keep_decoded does.
    """
    part = state.part
    if part.frozen is None or data.augmentation:
        return keep_decoded(config, data, num_replicas, tell)
    num_examples = sum(len(source) for source in data.sources.values())
    shape = part.frozen.output_shape[1:]
    num_bytes = num_examples * math.prod(shape) * np.dtype(np.float32).itemsize
    tier = _choose_tier(config, num_bytes, num_replicas, is_decoded=False)
    if tier.tier not in ("memory", "device"):
        return keep_decoded(config, data, num_replicas, tell)
    tell(
        f"computing the features of {num_examples:,} images once: {math.prod(shape):,} numbers each"
    )
    sources = {
        split: features_of(part, source, data.image_shape) for split, source in data.sources.items()
    }
    part.takes_features = True
    return tier, sources


def keep_decoded(
    config: TrainConfig,
    data: TrainingData,
    num_replicas: int,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[TierChoice, dict[str, Source]]:
    """Returns the cache tier chosen, and the sources as it keeps them.

    Args:
        config: what was asked for.
        data: the examples.
        num_replicas: of this process.
        tell: is told why a cache is made anew.

    Raises:
        ConfigError: `--cache=device` and the training set does not fit there.
        DataError: images that cannot be decoded, each named.
        DiskError: no room for the disk tier.
    """
    num_examples = sum(len(source) for source in data.sources.values())
    is_decoded = all(isinstance(source, ArraySource) for source in data.sources.values())
    num_bytes = num_examples * math.prod(data.image_shape)
    tier = _choose_tier(config, num_bytes, num_replicas, is_decoded)
    return tier, {
        split: apply_tier(source, tier.tier, data.image_shape, tell=tell)
        for split, source in data.sources.items()
    }


def _choose_tier(
    config: TrainConfig, num_bytes: int, num_replicas: int, is_decoded: bool
) -> TierChoice:
    num_copies = 1 if is_on_gpu() else num_replicas  # Virtual devices share the CPU's memory.
    return choose_tier(
        config.cache,
        num_bytes=num_bytes,
        is_decoded=is_decoded,
        device_bytes=num_bytes * num_copies,
        free_device_bytes=free_device_bytes(),
    )


def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds a model of the catalog by its name: uint8 [N, *image_shape] -> logits.

    Raises:
        ConfigError: no such model, it cannot take images of this shape, or its file is wrong.
    """
    module, argument = MODELS.load(name)
    with MODELS.blaming(name):
        model = module.build_model(num_classes, image_shape, *([argument] if argument else []))
    check_model(name, module, model, num_classes, image_shape)
    return model


def build_state(
    config: TrainConfig,
    data: TrainingData,
    strategy: tf.distribute.Strategy,
    total_steps: int,
    is_frozen: bool = False,
    unfreeze_step: int = 0,
) -> tuple[TrainState, optimizers.Halved]:
    """Builds model and optimizer, each replica with its copy of the variables.

    Args:
        config: what was asked for.
        data: whose model, classes and image size are meant.
        strategy: over the devices.
        total_steps: of the run.
        is_frozen: whether the layers of --freeze are frozen at this time of the run.
        unfreeze_step: after which they no longer are; 0: never.

    Returns:
        The state before step 1, and the learning-rate schedule its optimizer follows.
    """
    # Initial weights; the order, augmentation and dropout have seeds of their own.
    keras.utils.set_random_seed(config.seed)
    keras.mixed_precision.set_dtype_policy(config.precision)
    schedule = optimizers.build_schedule(config, total_steps)
    with strategy.scope():
        schedule = optimizers.Halved(schedule, config.on_divergence == "rollback")
        model = build_model(data.model, len(data.class_names), data.image_shape)
        was_frozen = config.freeze != "none" and not is_frozen
        if is_frozen:
            freeze(model, config.freeze)
        head = {id(variable) for variable in head_of(model).weights}
        optimizer = optimizers.build_optimizer(
            config,
            # The optimizer counts its own steps, and begins anew with other layers.
            optimizers.Later(schedule, unfreeze_step) if was_frozen else schedule,
            model.trainable_variables,
            [each for each in model.trainable_variables if id(each) not in head],
        )
    return TrainState(model, optimizer, strategy, Progress(), was_frozen=was_frozen), schedule
