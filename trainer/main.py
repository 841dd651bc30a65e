"""Trains an image classifier: `python -m trainer.main --dataset=flowers --strategy=mirrored`.

This file only connects. The order matters: flags, run directory and data set are checked before
TensorFlow is imported, so that a mistake is answered at once.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowrate import options
from flowrate.errors import (
    INTERNAL_ERROR_EXIT_CODE,
    FlowrateError,
    OutOfMemoryError,
    Preempted,
    as_out_of_resources,
)
from flowrate.output import survive_full_disk
from flowrate.signals import StopRequest
from flowrate.text import masked, one_line
from trainer.config import MULTI_WORKER, TrainConfig

if TYPE_CHECKING:
    from trainer.distributed.cluster import Cluster
    from trainer.distributed.worker import Worker
    from trainer.run import TrainingRun

USAGE = """Trains an image classifier and measures how fast and how well.

    python -m trainer.main [--flag=value ...]

With no flags: the digits data set on one device."""


def main(argv: Sequence[str], train: Callable[[TrainingRun], None] | None = None) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py).

    Args:
        argv: the command line, program name first.
        train: what is done in place of loop.train, for whoever measures; it may call that.
    """
    started = time.perf_counter()
    stop = StopRequest()
    stop.install()
    run_dir = worker = None
    try:
        config = options.parse(TrainConfig, argv)
        if config is None:
            print(options.render_help(TrainConfig, USAGE))
            return 0
        cluster = _join(config)
        from trainer.distributed.follower import Silent
        from trainer.distributed.worker import Worker, open_run_dir
        from trainer.output.console import Console

        console = Console() if cluster is None or cluster.is_chief else Silent()
        run_dir = open_run_dir(config, cluster, console.say)
        if result := run_dir.result(config):
            console.say("this run is complete already; its result:")
            console.show_summary(result, str(run_dir.path))
            run_dir.end(0)
            return 0
        stop.before_leaving = run_dir.end
        if cluster:
            worker = Worker(
                cluster, run_dir, lambda error: _end(worker, _report(error, run_dir), error)
            )
        _run(config, list(argv), run_dir, console, stop, started, worker, train)
        run_dir.end(0)
        return _end(worker, 0, None)
    except Exception as error:
        known = error if isinstance(error, FlowrateError) else as_out_of_resources(error)
        known = known or (worker.explain(error) if worker else None)
        exit_code = _report(known, run_dir) if known else _report_internal_error(error, run_dir)
        return _end(worker, exit_code, known or error)
    finally:
        if run_dir:
            run_dir.remove_if_unused()


def _join(config: TrainConfig) -> Cluster | None:
    """Returns the checked workers of a run of several (trainer/distributed/cluster.py)."""
    if config.strategy == "tpu":
        from trainer.distributed.tpu import find_tpu

        find_tpu(config.tpu_name, os.environ)
        return None
    if config.strategy != MULTI_WORKER:
        return None
    from trainer.distributed.cluster import join
    from trainer.distributed.preflight import check_ready

    cluster = join(os.environ)
    if cluster:
        check_ready(cluster)
    return cluster


def _end(worker: Worker | None, exit_code: int, error: Exception | None) -> int:
    """Returns the exit status; of several workers, tells the others, and leaves at once if lost."""
    if worker:
        worker.end(exit_code, " ".join(str(error).split()) if error else None)
        if exit_code:
            _leave(exit_code)
    return exit_code


def _leave(exit_code: int) -> None:
    """Ends the process now: TensorFlow would wait for the workers that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _run(config, argv, run_dir, console, stop, started, worker, train) -> None:
    from trainer import session

    run, data = session.start(config, argv, run_dir, console, stop, started, worker)
    from trainer import loop
    from trainer.engine.watchdog import Watchdog

    def give_up(error: FlowrateError) -> None:
        exit_code = _report(error, run_dir)
        _end(worker, exit_code, error)
        _leave(exit_code)

    stop.give_up = give_up
    following: TrainingRun | None = run
    while following:
        run = following
        console.start_bar(run.state.progress.step, run.plan.total_steps)
        watchdog = Watchdog(
            run.engine, run_dir.stacks_path, console.say, config.stall_timeout, give_up
        )
        try:
            (train or loop.train)(run)
        finally:
            watchdog.close()
            run.writer.close()
        following = session.follow(run, worker)
    record = session.finish(run, data)
    console.show_summary(record, str(run_dir.path))


def _report(error: FlowrateError, run_dir) -> int:
    """Prints one line, notes the end in the run directory, and returns the exit status."""
    print(f"{'' if isinstance(error, Preempted) else 'error: '}{one_line(error)}", file=sys.stderr)
    if run_dir:
        run_dir.record_failure(error)
        run_dir.end(error.exit_code)
    return error.exit_code


def _report_internal_error(error: Exception, run_dir) -> int:
    path = run_dir.traceback_path if run_dir else Path.cwd() / "traceback.txt"
    try:
        path.write_text(masked("".join(traceback.format_exception(error))), encoding="utf-8")
        where = f"the traceback is in {path}"
    except OSError:
        traceback.print_exception(error)
        where = "its traceback stands above"
    first_line = one_line((str(error).strip().splitlines() or [""])[0][:200])
    print(
        f"error: an error of the program itself: {type(error).__name__}: {first_line}; {where}.",
        file=sys.stderr,
    )
    if run_dir:
        run_dir.end(INTERNAL_ERROR_EXIT_CODE)
    return INTERNAL_ERROR_EXIT_CODE


def _look_for_batch(argv: Sequence[str]) -> None:
    """Becomes the program that looks for a batch that fits: this one's memory is free then."""
    sys.stdout.flush()
    sys.stderr.flush()
    config = options.parse(TrainConfig, argv)
    assert config is not None  # `main` has read the same flags.
    if config.strategy in ("one_device", "mirrored"):  # Others would need their workers.
        program = [sys.executable, "-m", "trainer.batch_that_fits", *argv[1:]]
        os.dup2(sys.stderr.fileno(), 2)  # Which flowrate/native_log.py had turned to a file.
        os.execv(sys.executable, program)


if __name__ == "__main__":
    survive_full_disk()
    exit_code = main(sys.argv)
    if exit_code == OutOfMemoryError.exit_code:
        _look_for_batch(sys.argv)
    sys.exit(exit_code)
