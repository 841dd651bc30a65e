"""Puts a TrainingRun together: model, optimizer, engine; restored where there is a past."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from flowrate.environment import describe_cpu
from input_pipelines._augmentation import Augmentation
from input_pipelines._blocks import WHOLE
from input_pipelines._cache import TierChoice, apply_tier, choose_tier
from input_pipelines._device_memory import free_device_bytes
from input_pipelines._source import ArraySource, Source
from models import MODELS
from trainer import optimizers
from trainer.agreement import Agreement
from trainer.batches import Batches
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.config_checks import check_divides, check_mixes_pairs, check_profiled_steps
from trainer.console import Console
from trainer.data import TrainingData, may_differ
from trainer.evaluator import Evaluator
from trainer.follower import NoSaver, SilentWriter
from trainer.jit import choose_jit
from trainer.loop import Choices, TrainingRun
from trainer.model_check import check_model
from trainer.plan import make_plan
from trainer.precision import choose_precision
from trainer.profiling import StepProfiler
from trainer.progress import Progress
from trainer.run_dir import RunDir
from trainer.saving import BackgroundSaver
from trainer.state import TrainState
from trainer.steps import StepEngine
from trainer.stop import StopRequest
from trainer.strategy import build_strategy, gpu_capability, is_on_gpu
from trainer.team import Team
from trainer.writers import RunWriter


def build_run(
    config: TrainConfig,
    data: TrainingData,
    run_dir: RunDir,
    console: Console,
    clock: PhaseClock,
    stop: StopRequest,
    team: Team | None = None,
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

    Raises:
        ConfigError: a flag that does not fit the devices or the data.
        DataError: an image that cannot be decoded.
        RunDirError: the run directory cannot be gone on with.
    """
    strategy = team.strategy if team else build_strategy(config)
    num_replicas = strategy.num_replicas_in_sync
    check_divides(config.global_batch_size, num_replicas)
    check_mixes_pairs(data.augmentation, config.global_batch_size // num_replicas)
    cpu_flags = describe_cpu()["flags"]
    precision = choose_precision(config.precision, cpu_flags, gpu_capability())
    config = dataclasses.replace(config, precision=precision.policy)
    plan = make_plan(config, len(data.sources["train"]))
    check_profiled_steps(config, plan.total_steps)
    facts = {**data.facts(), "precision": precision.policy}
    run_dir.check_data(facts, plan.to_json(), may_differ(config))
    checkpoint = run_dir.restore(config.resume, plan.total_steps)
    if team:
        team.check_same("flags and data", facts | plan.to_json() | {"seed": config.seed})
        checkpoint = team.checkpoint_of_chief(checkpoint)
    is_chief = team is None or team.cluster.is_chief
    num_workers = team.cluster.num_workers if team else 1
    share = team.share if team else WHOLE
    saver = make_saver(config, run_dir, console, clock) if is_chief else NoSaver()
    agreement = Agreement(stop, num_workers, saver.is_due)

    with clock.phase("data"):
        tier, sources = keep_decoded(config, data, num_replicas // num_workers, console.say)
    with clock.phase("build"):
        state, schedule = build_state(config, data, strategy, plan.total_steps)
        state.team = team
        if checkpoint:
            state.restore(checkpoint)
            schedule.halve(state.progress.num_rollbacks)
        jit = choose_jit(
            config, state.model, num_replicas, is_on_gpu(), cpu_flags, plan.total_steps
        )
        writer = (
            RunWriter(run_dir, plan, console, state.progress.step) if is_chief else SilentWriter()
        )
        batches = Batches(
            config,
            sources["train"],
            strategy,
            data.image_shape,
            len(data.class_names),
            first_step=state.progress.step,
            total_steps=plan.total_steps,
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
            agreement=agreement,
            profiler=StepProfiler(config.profiled_steps(), run_dir.path / "tensorboard"),
            show_images=lambda images: writer.images(images, state.progress.step),
        )

    splits = ", ".join(f"{len(source):,} {split}" for split, source in sources.items())
    console.say(
        f"{data.model}, {state.model.count_params():,} parameters, on {data.info.title}: {splits}"
    )
    workers = f"{num_workers} workers, " if num_workers > 1 else ""
    console.say(f"{config.strategy}, {workers}{num_replicas} replica{'s' * (num_replicas > 1)}")
    console.say(
        f"precision {precision.policy} ({precision.reason}); "
        f"XLA {'on' if jit.compile else 'off'} ({jit.reason}); cache {tier.tier} ({tier.reason})"
    )
    console.say(
        f"{plan.total_steps:,} steps of {plan.global_batch_size} examples, "
        f"{plan.epochs_at(plan.total_steps):.4g} epochs; {run_dir.path}"
    )
    if checkpoint:
        console.say(checkpoint.describe_resumed())
        clock.counted_before = state.progress.counted_seconds
    return TrainingRun(
        config=config,
        plan=plan,
        choices=Choices(cache=tier.tier, jit=jit.compile, precision=precision.policy),
        state=state,
        engine=engine,
        evaluator=Evaluator(
            state,
            config.global_batch_size,
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
        saved_step=state.progress.step if checkpoint else None,
    )


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
    num_bytes = num_examples * math.prod(data.image_shape)
    num_copies = 1 if is_on_gpu() else num_replicas  # Virtual devices share the CPU's memory.
    tier = choose_tier(
        config.cache,
        num_bytes=num_bytes,
        is_decoded=all(isinstance(source, ArraySource) for source in data.sources.values()),
        device_bytes=num_bytes * num_copies,
        free_device_bytes=free_device_bytes(),
    )
    return tier, {
        split: apply_tier(source, tier.tier, data.image_shape, tell=tell)
        for split, source in data.sources.items()
    }


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
    config: TrainConfig, data: TrainingData, strategy: tf.distribute.Strategy, total_steps: int
) -> tuple[TrainState, optimizers.Halved]:
    """Builds model and optimizer, each replica with its copy of the variables.

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
        optimizer = optimizers.build_optimizer(config, schedule, model.trainable_variables)
    return TrainState(model, optimizer, strategy, Progress()), schedule
