"""Whether a run's data are there, asked before several workers are started for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from flowrate.errors import FlowrateError, Preempted
from flowrate.text import one_line
from trainer.config import TrainConfig
from trainer.run_dir.folder import RunDir

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def check_data(config: TrainConfig, run_dir: Path, tell: Callable[[str], None]) -> int:
    """Loads the data as each worker will, unless the run is complete already.

    This is done by a process of its own, which takes with it the memory and whatever it imports.

    Args:
        config: what was asked for.
        run_dir: of the run; it need not be there yet.
        tell: gets what the user should know.

    Returns:
        0, or the exit status of the mistake, which has been told in one line.

    Raises:
        Preempted: a signal came. Its handler stays; only the main thread may call this.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_load, args=(config, run_dir, tell)
    )

    def leave(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:  # Schedulers send them twice; there is nothing left to end.
            signal.signal(each, signal.SIG_IGN)
        process.kill()
        raise Preempted(f"{signal.Signals(number).name}: stopped before any worker was started.")

    # Whoever sees the process may signal at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    process.start()
    for number in _SIGNALS:
        signal.signal(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    process.join()
    assert process.exitcode is not None  # It was waited for.
    return max(process.exitcode, 0)  # Where it was killed: the workers say what becomes of them.


def _load(config: TrainConfig, run_dir: Path, tell: Callable[[str], None]) -> None:
    os.setsid()  # Ctrl-C is for the launcher.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    from input_pipelines.start_tensorflow import quiet_tensorflow
    from trainer.data import load_data

    quiet_tensorflow()  # Which some data sets import.
    try:
        if RunDir(run_dir, config.keep_checkpoints, tell).result(config) is None:
            load_data(config, tell)
    except FlowrateError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception:  # No mistake of the user's: the workers tell of it, and keep the traceback.
        return
