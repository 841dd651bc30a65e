"""Puts a TrainingRun together: devices, model, optimizer, engine; restored where there is a past."""

from __future__ import annotations

import math

import keras

from input_pipelines import _cache
from input_pipelines._augmentation import Augmentation
from models import MODELS
from trainer import optimizers, strategy
from trainer.clock import PhaseClock
from trainer.config import TrainConfig, check_divides, check_mixes_pairs
from trainer.console import Console
from trainer.data import TrainingData
from trainer.evaluate import Evaluator
from trainer.jit import choose_jit
from trainer.loop import TrainingRun
from trainer.plan import make_plan
from trainer.profiling import StepProfiler
from trainer.progress import Progress
from trainer.run_dir import RunDir
from trainer.state import TrainState
from trainer.steps import StepEngine
from trainer.stop import StopRequest
from trainer.writers import RunWriter


def build_run(
    config: TrainConfig,
    data: TrainingData,
    run_dir: RunDir,
    console: Console,
    clock: PhaseClock,
    stop: StopRequest,
) -> TrainingRun:
    """Builds everything up to, not including, the first step.

    Raises:
        ConfigError: a flag that does not fit the devices or the data.
        DataError: an image that cannot be decoded.
        RunDirError: the run directory cannot be gone on with.
    """
    strategy.configure_devices(config)
    distribution = strategy.build_strategy(config)
    num_replicas = distribution.num_replicas_in_sync
    check_divides(config.global_batch_size, num_replicas)
    check_mixes_pairs(data.augmentation, config.global_batch_size // num_replicas)
    plan = make_plan(config, len(data.sources["train"]))
    run_dir.check_data(data.facts(), plan.to_json())
    checkpoint = run_dir.restore(config.resume)

    with clock.phase("data"):
        tier, sources = prepare_sources(config, data)
    with clock.phase("build"):
        state = build_state(config, data, distribution, plan.total_steps)
        if checkpoint:
            state.restore(checkpoint)
            console.say(f"resumed from step {state.progress.step}.")
        jit = choose_jit(config, state.model, num_replicas, strategy.is_on_gpu())
        writer = RunWriter(run_dir, plan, console, state.progress.step)
        engine = StepEngine(
            config, state, sources["train"], data.image_shape, len(data.class_names),
            plan.total_steps, Augmentation(data.augmentation, len(data.class_names)),
            jit.compile, StepProfiler(config.profiled_steps(), run_dir.path / "tensorboard"),
            lambda images: writer.images(images, state.progress.step),
        )  # fmt: skip
    counts = ", ".join(f"{len(source):,} {split}" for split, source in sources.items())
    console.say(
        f"{data.model}, {state.model.count_params():,} parameters, on {data.info.title}: {counts}"
    )
    console.say(
        f"{config.strategy}, {num_replicas} replicas; {config.precision}; "
        f"XLA {'on' if jit.compile else 'off'} ({jit.reason}); cache {tier.tier} ({tier.reason})"
    )
    console.say(
        f"{plan.total_steps:,} steps of {plan.global_batch_size} examples, "
        f"{plan.epochs_at(plan.total_steps):.4g} epochs; {run_dir.path}"
    )
    return TrainingRun(
        config=config,
        plan=plan,
        state=state,
        engine=engine,
        evaluator=Evaluator(state, data.image_shape, config.global_batch_size, jit.compile),
        evaluation_split="validation" if "validation" in sources else "test",
        sources=sources,
        run_dir=run_dir,
        writer=writer,
        clock=clock,
        stop=stop,
        saved_step=state.progress.step if checkpoint else -1,
    )


def prepare_sources(config: TrainConfig, data: TrainingData):
    """Returns (the cache tier chosen, the sources as it keeps them)."""
    num_examples = sum(len(source) for source in data.sources.values())
    tier = _cache.choose_tier(
        config.cache,
        num_examples * math.prod(data.image_shape),
        is_decoded=isinstance(data.sources["train"], _cache.ArraySource),
    )
    sources = {
        split: _cache.apply_tier(source, tier.tier, data.image_shape)
        for split, source in data.sources.items()
    }
    return tier, sources


def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds a model of the catalog by its name.

    Raises:
        ConfigError: no such model, or it cannot take images of this shape.
    """
    module, argument = MODELS.load(name)
    if argument:
        return module.build_model(num_classes, image_shape, argument)
    return module.build_model(num_classes, image_shape)


def build_state(
    config: TrainConfig, data: TrainingData, distribution, total_steps: int
) -> TrainState:
    """Builds model and optimizer, each replica with its copy of the variables."""
    with distribution.scope():
        model = build_model(data.model, len(data.class_names), data.image_shape)
        optimizer = optimizers.build_optimizer(config, total_steps, model.trainable_variables)
    return TrainState(model, optimizer, distribution, Progress())
