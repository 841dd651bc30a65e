"""Measures training by the trainer's own engine, in this process: a whole run, or its rate."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any, cast

import tensorflow as tf

from benchmarks.case import image_size_label
from benchmarks.measure import verdict
from benchmarks.measure.flops import flops_per_step, matmul_peak_flops_per_second
from benchmarks.measure.input import images_per_second
from benchmarks.measure.limit import Limit, measure_limit
from benchmarks.measure.recorder import Recorder
from benchmarks.statistics import step_percentiles
from flowrate.environment import describe_cpu, process_seconds
from flowrate.signals import StopRequest
from trainer import loop, session
from trainer.config import TrainConfig
from trainer.distributed import strategy
from trainer.engine.engine import StepEngine
from trainer.model.precision import choose_precision
from trainer.output.console import Console
from trainer.plan import Segment
from trainer.run import TrainingRun
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:
    from trainer.data import TrainingData

_INPUT_SECONDS = 1.0
# Far enough for any measurement; the engine is left long before.
_ENDLESS = 1_000_000


def begin(config: TrainConfig) -> tuple[TrainingRun, TrainingData]:
    """Does what `python -m trainer.main` does up to the first step; raises as session.start does.

    Signals are not handled: a measuring process is killed, not asked to save.
    """
    console = Console()
    run_dir = RunDir.open(config, console.say)
    return session.start(
        config, ["trainer.main"], run_dir, console, StopRequest(), time.perf_counter()
    )


def measure_run(flags: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Trains as the command does, from start to result.json; see `_measure`."""

    def work(run: TrainingRun, data) -> dict[str, float]:
        loop.train(run)
        run.writer.close()
        result = session.finish(run, data)
        return {
            "test_accuracy": result["test_accuracy"],
            "train_accuracy": result["train_accuracy"],
            "steps": result["global_step"],
        }

    return _measure(TrainConfig(**flags), work)


def measure_rate(flags: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Trains until the rate is stable and for so many seconds more; see `_measure`.

    Each call has one of the bare step beside it, on the run's own weights: what they come to is
    of no interest here.
    """
    config = TrainConfig(**{**flags, "steps": _ENDLESS, "epochs": None})

    def work(run: TrainingRun, data) -> dict[str, float]:
        # Nothing pauses this: no evaluation, no checkpoint. The recorder ends it.
        loop.train_segment(
            run, Segment(1, _ENDLESS, evaluate=False, checkpoint=False, ends_epoch=False)
        )
        run.writer.close()
        return {}

    return _measure(config, work, rate_seconds=seconds)


def _measure(config: TrainConfig, work, rate_seconds: float = 0.0) -> dict[str, Any]:
    """Returns metrics, samples, phases, labels and verdict of a row (docs/benchmarks.md).

    wall_seconds is that of the process so far, less what the measuring itself took.
    """
    run, data = begin(config)
    recorder = Recorder(run.engine, rate_seconds)
    run.engine = cast(StepEngine, recorder)  # It has the same interface.
    before = measure_limit(run)
    metrics = work(run, data)
    wall_seconds = process_seconds() - before.seconds
    after = measure_limit(run)
    metrics |= _metrics(run, recorder, before, after)
    labels = _labels(run, data)
    if "steps_per_second" in metrics:
        metrics["efficiency"] = metrics["steps_per_second"] / min(
            metrics["limit_steps_per_second"],
            metrics.get("input_images_per_second", float("inf")) / config.global_batch_size,
        )
    return {
        "wall_seconds": wall_seconds,
        "labels": labels,
        "metrics": metrics,
        "samples": {
            "warmup": recorder.warmup,
            "segments": recorder.samples,
            "limit_before": before.samples,
            "limit_after": after.samples,
            "limit_beside": recorder.bare_samples,
        },
        "phases": {**run.clock.seconds, "compile": before.compile_seconds},
        "verdict": _verdict(metrics, labels),
    }


def _metrics(run: TrainingRun, recorder: Recorder, before: Limit, after: Limit) -> dict[str, float]:
    assert recorder.first_call_seconds is not None  # A call was made.
    batch_size = run.config.global_batch_size
    limits = [before.steps_per_second, after.steps_per_second]
    metrics = {
        "limit_before_steps_per_second": limits[0],
        "limit_after_steps_per_second": limits[1],
        "limit_steps_per_second": _rate_beside(recorder) or sum(limits) / 2,
        "peak_memory_bytes": _peak_memory_bytes(),
        # Without what the limit took between the compiled step and the run's own first call.
        "first_step_seconds": recorder.first_call_seconds - before.seconds,
    }
    if rate := recorder.steps_per_second():
        percentiles = step_percentiles(recorder.samples)
        metrics |= {
            "steps_per_second": rate,
            "images_per_second": rate * batch_size,
            "epoch_seconds": run.plan.steps_per_epoch / rate,
            "step_p50_ms": percentiles.p50,
            "step_p90_ms": percentiles.p90,
            "step_p99_ms": percentiles.p99,
        }
    block = run.engine.batches.steps_per_block * batch_size
    supply = images_per_second(run.engine.batches.host_blocks(), block, _INPUT_SECONDS)
    if supply:
        metrics["input_images_per_second"] = supply
    if flops := flops_per_step(run):
        peak = matmul_peak_flops_per_second(run.choices.precision)
        metrics |= {"flops_per_step": flops, "matmul_peak_flops_per_second": peak}
        if rate:
            metrics |= {"flops_per_second": rate * flops, "peak_share": rate * flops / peak}
    return metrics


def _rate_beside(engine: Recorder) -> float | None:
    """Returns the rate of the bare step between the run's own calls; None where there was none."""
    if not engine.bare_samples:
        return None
    steps, seconds = map(sum, zip(*engine.bare_samples))
    return steps / seconds


def _labels(run: TrainingRun, data) -> dict[str, Any]:
    config = run.config
    return {
        "dataset": config.dataset,
        "model": data.model,
        "global_batch_size": config.global_batch_size,
        "epochs": config.epochs,
        "precision": run.choices.precision,
        "jit": "on" if run.choices.jit else "off",
        "cache": run.choices.cache,
        "strategy": config.strategy,
        "num_replicas": run.state.strategy.num_replicas_in_sync,
        "augmentation": config.augmentation,
        "image_size": image_size_label(data.image_shape),
        "optimizer": config.optimizer,
        "steps_per_call": config.steps_per_call,
    }


def _verdict(metrics: dict[str, float], labels: dict[str, Any]) -> dict[str, Any] | None:
    if "steps_per_second" not in metrics:
        return None
    fastest = choose_precision("auto", describe_cpu()["flags"], strategy.gpu_capability())
    return verdict.judge(metrics, labels, fastest.policy != "float32")


def _peak_memory_bytes() -> float:
    """Returns the largest memory in use so far: of the GPU where there is one, else resident."""
    if tf.config.list_logical_devices("GPU"):
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
