"""Connects the tasks of an asynchronous run, and puts together the TrainingRun of the chief."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from flowrate.environment import available_memory_bytes, describe_cpu
from flowrate.errors import ConfigError
from flowrate.signals import StopRequest
from input_pipelines.augmentation.augment import Augmentation
from input_pipelines.cache import MAX_SHARE_OF_FREE_MEMORY, apply_tier
from input_pipelines.source import Source
from trainer.build import build_state, make_saver
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.config_checks import check_mixes_pairs
from trainer.data import TrainingData, may_differ
from trainer.engine.evaluator import Evaluator
from trainer.loop import Choices, TrainingRun
from trainer.model.precision import choose_precision
from trainer.output.console import Console
from trainer.output.writers import RunWriter
from trainer.parameter_server.engine import ParameterServerEngine
from trainer.plan import make_plan
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:
    from trainer.distributed.parameter_server_cluster import TaskCluster
    from trainer.parameter_server.tasks import TaskAgreement

# A message of TensorFlow's holds less than 2 GiB; the set goes to a worker in one.
_MAX_BYTES = 2**31 - 2**20


def connect(cluster: TaskCluster, log_path: Path) -> tf.distribute.ParameterServerStrategy:
    """Returns the strategy over tasks that are all there.

    Args:
        cluster: the tasks.
        log_path: takes what TensorFlow's Python code says of lost workers, with tracebacks.
    """
    logger = tf.get_logger()
    logger.handlers = [logging.FileHandler(log_path)]
    logger.propagate = False
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs()), task_type="chief", task_id=0, rpc_layer="grpc"
    )
    return tf.distribute.ParameterServerStrategy(resolver)


def build_run(
    config: TrainConfig,
    data: TrainingData,
    run_dir: RunDir,
    console: Console,
    clock: PhaseClock,
    stop: StopRequest,
    *,
    cluster: TaskCluster,
    strategy: tf.distribute.ParameterServerStrategy,
    agreement: TaskAgreement,
) -> TrainingRun:
    """Builds everything up to, not including, the first step; see build.build_run.

    Args:
        cluster: the tasks.
        strategy: that connects them.
        agreement: whether to stop.
    """
    check_mixes_pairs(data.augmentation, config.global_batch_size)
    precision = choose_precision(config.precision, describe_cpu()["flags"], None)
    config = dataclasses.replace(config, precision=precision.policy)
    plan = make_plan(config, len(data.sources["train"]))
    run_dir.check_data(
        {**data.facts(), "precision": precision.policy}, plan.to_json(), may_differ(config)
    )
    checkpoint = run_dir.restore(config.resume, plan.total_steps)
    with clock.phase("data"):
        sources = _in_memory(config, data)
    with clock.phase("build"):
        state, schedule = build_state(config, data, tf.distribute.get_strategy(), plan.total_steps)
        if checkpoint:
            state.restore(checkpoint)
            clock.counted_before = state.progress.counted_seconds
        remote, remote_schedule = build_state(config, data, strategy, plan.total_steps)
        for each in (schedule, remote_schedule):
            each.halve(state.progress.num_rollbacks)
        engine = ParameterServerEngine(
            config, state, remote, schedule, sources["train"],
            Augmentation(data.augmentation, len(data.class_names)),
            num_workers=len(cluster.trainers),
            total_steps=plan.total_steps,
            agreement=agreement,
        )  # fmt: skip

    splits = ", ".join(f"{len(source):,} {split}" for split, source in sources.items())
    for line in (
        f"{data.model}, {state.model.count_params():,} parameters, on {data.info.title}: {splits}",
        f"parameter_server (experimental, asynchronous), {_count(cluster.trainers, 'worker')}, "
        f"{_count(cluster.parameter_servers, 'parameter server')}",
        f"precision {precision.policy} ({precision.reason}); XLA off; cache memory, on each worker",
        f"{plan.total_steps:,} steps of {plan.global_batch_size} examples, "
        f"{plan.epochs_at(plan.total_steps):.4g} epochs; {run_dir.path}",
        *([checkpoint.describe_resumed()] if checkpoint else []),
    ):
        console.say(line)
    saver = make_saver(config, run_dir, console, clock)
    agreement.is_save_due = saver.is_due
    return TrainingRun(
        config=config,
        plan=plan,
        choices=Choices(cache="memory", jit=False, precision=precision.policy),
        state=state,
        engine=engine,
        evaluator=Evaluator(state, config.global_batch_size, compile_with_xla=False),
        evaluation_split="validation" if "validation" in sources else "test",
        sources=sources,
        examples=data.sources["train"],
        schedule=schedule,
        run_dir=run_dir,
        saver=saver,
        writer=RunWriter(run_dir, plan, console, state.progress.step),
        clock=clock,
        stop=stop,
        agreement=agreement,
        team=None,
        num_workers=len(cluster.trainers),
        num_replicas=len(cluster.trainers),
        end_step=plan.total_steps,
        saved_step=state.progress.step if checkpoint else None,
    )


def _count(tasks: range, what: str) -> str:
    return f"{len(tasks)} {what}{'s' * (len(tasks) > 1)}"


def _in_memory(config: TrainConfig, data: TrainingData) -> dict[str, Source]:
    """Returns the sources, decoded.

    Raises:
        ConfigError: the training set is too large for that.
    """
    height, width, channels = data.image_shape
    num_bytes = len(data.sources["train"]) * height * width * channels
    most = min(_MAX_BYTES, int(available_memory_bytes() * MAX_SHARE_OF_FREE_MEMORY))
    if num_bytes > most:
        raise ConfigError(
            f"--strategy=parameter_server: each worker keeps the decoded training set in memory: "
            f"{num_bytes / 2**20:,.0f} MiB, and at most {most / 2**20:,.0f} MiB can go there; "
            "lower --image_size, or use --strategy=multi_worker_mirrored."
        )
    return {
        split: apply_tier(source, "memory", data.image_shape)
        for split, source in data.sources.items()
    }
