"""After a run has gone out of memory: a batch that fits, found by trying.

    python -m trainer.batch_that_fits FLAGS OF trainer.main

Each try trains a few steps in a process of its own, with half the batch of the one before, in an
empty folder. trainer/main.py becomes this program, so that what it held is free again. No
TensorFlow here.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowrate import failpoint, processes
from flowrate.command import run_command
from flowrate.errors import OutOfMemoryError
from trainer.config import TrainConfig

if TYPE_CHECKING:
    from trainer.run import TrainingRun

_TRY = "--try"
# The one that compiles, and one of several steps.
_NUM_CALLS = 2
_MOST_SECONDS = 300.0
# What ends a try for want of memory: said so; native code that aborts or crashes where it is
# refused memory; the system.
_DOES_NOT_FIT = (OutOfMemoryError.exit_code, -6, -11, -9)


def search(too_large: int, fits: Callable[[int], bool | None]) -> int | None:
    """Returns the largest of a half, a quarter, ... of a batch that fits; None where none does.

    Args:
        too_large: a batch that does not fit.
        fits: tries one; None where it cannot be told.
    """
    batch = too_large // 2
    while batch:
        answer = fits(batch)
        if answer is not False:
            return batch if answer else None
        batch //= 2
    return None


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns the exit status of a run that is out of memory."""
    if argv[1:2] == [_TRY]:
        from trainer import main as trainer_main

        return trainer_main.main([argv[0], *argv[2:]], _train_a_little)
    return run_command(argv, TrainConfig, __doc__, lambda config, words: _search(config, argv[1:]))


def _search(config: TrainConfig, flags: Sequence[str]) -> int:
    asked = config.global_batch_size
    end = time.monotonic() + _MOST_SECONDS
    print(f"looking for a batch that fits, for at most {_MOST_SECONDS:.0f} s ...", file=sys.stderr)
    batch = search(asked, lambda batch: _fits(flags, batch, end - time.monotonic()))
    if not batch:
        raise OutOfMemoryError(f"no batch was found that fits, of {asked // 2} and less.")
    num_parts = asked // batch * config.gradient_accumulation
    in_parts = f", or all in parts: --gradient_accumulation={num_parts}"
    raise OutOfMemoryError(
        f"a batch of {asked} does not fit into memory; {batch} does: "
        f"--global_batch_size={batch}{in_parts if asked % batch == 0 else ''}"
    )


def _fits(flags: Sequence[str], batch: int, timeout_seconds: float) -> bool | None:
    environment = {name: value for name, value in os.environ.items() if name != failpoint.VARIABLE}
    with tempfile.TemporaryDirectory(prefix="flowrate-batch-") as folder:
        command = [
            sys.executable, "-m", "trainer.batch_that_fits", _TRY, *flags,
            f"--global_batch_size={batch}", f"--run_dir={Path(folder) / 'run'}", "--resume=auto",
        ]  # fmt: skip
        ended = processes.run(command, timeout_seconds=timeout_seconds, env=environment)
    if ended.exit_code == 0:
        return True
    return False if ended.exit_code in _DOES_NOT_FIT else None


def _train_a_little(run: TrainingRun) -> None:
    """Stands in for loop.train, and ends the process."""
    segment = next(run.plan.segments())
    for _ in itertools.islice(run.engine.run(segment), _NUM_CALLS):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
