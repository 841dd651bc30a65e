"""One run from its config to its result, as one process lives through it.

`start` does everything up to the first step, `finish` everything after the last; in between stands
the loop. TensorFlow is imported inside, after what can be checked without it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flowrate.environment import describe_environment
from flowrate.errors import DiskError
from flowrate.failpoint import reach
from flowrate.native_log import divert_native_stderr
from flowrate.signals import StopRequest
from input_pipelines.start_tensorflow import import_tensorflow, set_tensorflow_defaults
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.data import TrainingData, load_data
from trainer.distributed.worker import Worker
from trainer.output.console import Console
from trainer.run_dir.folder import RunDir

if TYPE_CHECKING:  # It imports TensorFlow.
    from trainer.run import TrainingRun


def start(
    config: TrainConfig,
    argv: Sequence[str],
    run_dir: RunDir,
    console: Console,
    stop: StopRequest,
    started: float,
    worker: Worker | None = None,
) -> tuple[TrainingRun, TrainingData]:
    """Loads data and TensorFlow and builds the run, restored where it has a past.

    Args:
        config: what was asked for.
        argv: the command line, for the record.
        run_dir: opened for this config.
        console: for the user.
        stop: knows whether a signal came.
        started: time.perf_counter() when the program began.
        worker: this process as one of several, where there are.

    Raises:
        ConfigError, DataError, RunDirError, ClusterError: as load_data and build_run do.
    """
    # Some data sets import TensorFlow, so this comes before them.
    set_tensorflow_defaults()
    divert_native_stderr(run_dir.native_log_path)
    clock = PhaseClock()
    run_dir.begin_again()
    if worker:
        worker.start(clock)
    with clock.phase("data"):
        reach("data")
        data = load_data(config, console.say)
        record = data.record if worker is None or worker.cluster.is_chief else None
        if record:
            record.check(run_dir.path, config.accept_data_change, console.say)
    run_dir.write_config(config)
    if record:
        record.save(run_dir.path)
    reach("import")
    import_tensorflow()
    from trainer import build
    from trainer.distributed import strategy

    strategy.configure_devices(config)
    if config.debug_nan:
        import tensorflow as tf

        tf.debugging.enable_check_numerics()
    if worker:
        clock.current = "bring-up"
        worker.connect(config)
    devices = strategy.describe_devices()
    run_dir.write_environment({**describe_environment(list(argv)), "devices": devices})
    clock.add("import", time.perf_counter() - started - clock.seconds["data"])
    reach("build")
    team = worker.team if worker else None
    run = build.build_run(config, data, run_dir, console, clock, stop, team)
    _attend(run, worker)
    with clock.phase("build"):
        run.writer.describe(config, run.state.model, data.image_shape)
    return run, data


def follow(run: TrainingRun, worker: Worker | None) -> TrainingRun | None:
    """Returns the part of the run after the one that is trained; None where the run is over."""
    if (following := run.follow()) is not None:
        _attend(following, worker)
    return following


def _attend(run: TrainingRun, worker: Worker | None) -> None:
    """Lets the other workers, and the record of this start, know where the run stands."""
    if worker:
        # TensorFlow takes SIGTERM for itself when it connects workers.
        run.stop.install()
        worker.report(
            lambda: {
                "step": run.state.progress.step,
                "busy_seconds_per_step": run.engine.busy_seconds_per_step,
            }
        )
    run.run_dir.starts.measure = lambda: {
        "step": run.state.progress.step,
        "counted_seconds": round(run.clock.counted_seconds, 3),
    }


def finish(run: TrainingRun, data: TrainingData) -> dict[str, Any]:
    """Evaluates, saves the model, and writes and returns the record of the completed run."""
    from trainer import result

    run.stop.disarm(str(run.run_dir.path))
    reach("finish")
    test = result.evaluate_test(run)
    train = result.evaluate_train(run, test)
    result.save_model(run)
    if run.config.report:
        with _worth_a_warning(run):
            result.save_predictions(run, data)
    record = result.describe(run, data, test, train)
    run.run_dir.write_result(record)
    run.wait_for_all()
    if run.config.report and run.is_chief:
        with _worth_a_warning(run):
            _write_report(run)
    elif run.is_chief:
        result.drop_report(run)
    return record


@contextlib.contextmanager
def _worth_a_warning(run: TrainingRun) -> Iterator[None]:
    """Lets a run be complete that has no room for its report."""
    try:
        yield
    except DiskError as error:
        run.writer.warn(f"{error} The run is complete without it.")


def _write_report(run: TrainingRun) -> None:
    from trainer.report.write import write_report

    reach("report")
    _, pictures = write_report(run.run_dir.path)
    run.writer.pictures(pictures, run.state.progress.step)
