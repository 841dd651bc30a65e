"""Builds a TrainingRun: model, optimizer, input and engine; restored where it has a past."""

from __future__ import annotations

import dataclasses
import functools

import tensorflow as tf

from flowrate.environment import describe_cpu
from flowrate.signals import StopRequest
from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.blocks import WHOLE
from trainer.checkpoints.background import BackgroundSaver
from trainer.checkpoints.store import Checkpoint
from trainer.clock import PhaseClock
from trainer.config import TrainConfig, check_divides, check_mixes_pairs, check_profiled_steps
from trainer.data import TrainingData, may_differ
from trainer.distributed.follower import NoSaver, Silent
from trainer.distributed.strategy import build_strategy, gpu_capability, is_on_gpu
from trainer.distributed.team import Team
from trainer.distributed.votes import Agreement
from trainer.engine.batches import Batches
from trainer.engine.engine import StepEngine
from trainer.engine.evaluator import Evaluator
from trainer.engine.inputs import keep_decoded, keep_inputs
from trainer.engine.jit import choose_jit
from trainer.engine.optimizers import Halved
from trainer.engine.profiling import StepProfiler
from trainer.engine.state import TrainState, build_state
from trainer.model.initial_weights import take_over
from trainer.model.precision import choose_precision
from trainer.model.weights import describe
from trainer.output.console import Console
from trainer.output.writers import RunWriter
from trainer.plan import TrainPlan, make_plan
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
        stop: knows whether a signal came.
        team: the workers of the run, where there are several.
        previous: the run up to --unfreeze_at, which this one follows in the same process.

    Raises:
        ConfigError: a flag that does not fit the devices or the data.
        DataError: an image that cannot be decoded.
        RunDirError: the run directory cannot be resumed.
    """
    strategy = team.strategy if team else build_strategy(config)
    num_replicas = strategy.num_replicas_in_sync
    num_workers = team.cluster.num_workers if team else 1
    is_chief = team is None or team.cluster.is_chief
    share = team.share if team else WHOLE
    check_divides(config, num_replicas)
    check_mixes_pairs(data.augmentation, config.global_batch_size // num_replicas)

    cpu_flags = describe_cpu()["flags"]
    precision = choose_precision(config.precision, cpu_flags, gpu_capability())
    config = dataclasses.replace(config, precision=precision.policy)
    plan = make_plan(config, len(data.sources["train"]))
    check_profiled_steps(config, plan.total_steps)
    checkpoint = _find_checkpoint(config, data, plan, run_dir, team, previous)
    is_frozen = plan.is_frozen_after(checkpoint.progress.step if checkpoint else 0)
    end_step = plan.unfreeze_step if is_frozen and plan.unfreeze_step else plan.total_steps

    with clock.phase("build"):
        state, schedule = _build_state(config, data, plan, strategy, checkpoint, is_frozen, console)
        state.team = team
        step = state.progress.step
    with clock.phase("data"):
        kept = config.cache, data.sources, data.image_shape
        num_local = num_replicas // num_workers
        if data.augmentation:  # No image is the same twice, so no feature is.
            tier, sources = keep_decoded(*kept, num_local, console.say)
        else:
            tier, sources = keep_inputs(*kept, state.part, num_local, console.say)
        is_resident = tier.tier == "device"
    with clock.phase("build"):
        jit = choose_jit(
            config, state.part.runs, num_replicas, is_on_gpu(), cpu_flags, plan.total_steps
        )
        saver = _build_saver(config, run_dir, console, clock) if is_chief else NoSaver()
        writer = RunWriter(run_dir, plan, console, step) if is_chief else Silent()
        agreement = Agreement(stop, num_workers, saver.is_due)
        batches = Batches(
            config,
            sources["train"],
            strategy,
            state.part.input_shape,
            len(data.class_names),
            first_step=step,
            total_steps=end_step,
            augmentation=Augmentation(data.augmentation, len(data.class_names)),
            is_resident=is_resident,
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
        evaluator = Evaluator(
            state, config.micro_batch_size, jit.compile_evaluation, is_resident, share
        )
    run = TrainingRun(
        config=config,
        plan=plan,
        choices=Choices(cache=tier.tier, jit=jit.compile, precision=precision.policy),
        state=state,
        engine=engine,
        evaluator=evaluator,
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
        num_workers=num_workers,
        num_replicas=num_replicas,
        end_step=end_step,
        saved_step=step if checkpoint else None,
    )
    run.build_next = functools.partial(
        build_run, config, data, run_dir, console, clock, stop, team, previous=run
    )
    if previous:
        console.say(f"every layer is trained from step {plan.unfreeze_step + 1:,} on")
    else:
        _introduce(run, data, console)
    console.say(
        f"precision {precision.policy} ({precision.reason}); "
        f"XLA {'on' if jit.compile else 'off'} ({jit.reason}); cache {tier.tier} ({tier.reason})"
    )
    if checkpoint and not previous:
        console.say(checkpoint.describe_resumed())
        clock.counted_before = state.progress.counted_seconds
    return run


def _find_checkpoint(
    config: TrainConfig,
    data: TrainingData,
    plan: TrainPlan,
    run_dir: RunDir,
    team: Team | None,
    previous: TrainingRun | None,
) -> Checkpoint | None:
    """Returns what to resume from, once the data are known to be those that the run began with."""
    facts = {**data.facts(), "precision": config.precision}
    run_dir.check_data(facts, plan.to_json(), may_differ(config))
    if previous:
        checkpoint = run_dir.go_back(previous.state.progress.num_rollbacks, plan.total_steps)
    else:
        checkpoint = run_dir.restore(config.resume, plan.total_steps)
    if team:
        team.check_same("flags and data", facts | plan.to_json() | {"seed": config.seed})
        checkpoint = team.checkpoint_of_chief(checkpoint)
    return checkpoint


def _build_state(
    config: TrainConfig,
    data: TrainingData,
    plan: TrainPlan,
    strategy: tf.distribute.Strategy,
    checkpoint: Checkpoint | None,
    is_frozen: bool,
    console: Console,
) -> tuple[TrainState, Halved]:
    """Returns the state that training begins or resumes with, and its learning-rate schedule."""
    state, schedule = build_state(
        config, data, strategy, plan.total_steps, is_frozen, plan.unfreeze_step
    )
    if checkpoint:
        state.restore(checkpoint)
        schedule.halve(state.progress.num_rollbacks)
    elif config.weights != "none":
        state.progress.weights = take_over(state.model, data.start, data.class_names)
        console.say(f"weights: {describe(state.progress.weights)}")
    return state, schedule


def _build_saver(
    config: TrainConfig, run_dir: RunDir, console: Console, clock: PhaseClock
) -> BackgroundSaver:
    return BackgroundSaver(
        run_dir.checkpoints,
        console.say,
        is_by_clock=not config.checkpoint_every_steps,
        lost_seconds=lambda: clock.seconds["checkpoint"],
    )


def _introduce(run: TrainingRun, data: TrainingData, console: Console) -> None:
    """Says what is trained, on what, by whom, and for how long."""
    plan, num_replicas = run.plan, run.num_replicas
    splits = ", ".join(f"{len(source):,} {split}" for split, source in run.sources.items())
    workers = f"{run.num_workers} workers, " if run.num_workers > 1 else ""
    for line in (
        f"{data.model}, {run.state.model.count_params():,} parameters, on {data.info.title}: "
        f"{splits}",
        f"{run.config.strategy}, {workers}{num_replicas} replica{'s' * (num_replicas > 1)}",
        f"{plan.total_steps:,} steps of {plan.global_batch_size} examples, "
        f"{plan.epochs_at(plan.total_steps):.4g} epochs; {run.run_dir.path}",
    ):
        console.say(line)
