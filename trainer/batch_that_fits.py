"""After a run has gone out of memory: a batch that fits, found by trying.

    python -m trainer.batch_that_fits FLAGS OF trainer.main

Each try trains a few steps in a process of its own, with half the batch of the one before, in an
empty folder. trainer/main.py becomes this program, so that what it held is free again. No
TensorFlow here.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowrate import failpoint, options
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
    if argv[1] == _TRY:
        from trainer import main as trainer_main

        return trainer_main.main([argv[0], *argv[2:]], _train_a_little)
    config = options.parse(TrainConfig, argv)
    asked = config.global_batch_size
    end = time.monotonic() + _MOST_SECONDS
    print(f"looking for a batch that fits, for at most {_MOST_SECONDS:.0f} s ...", file=sys.stderr)
    batch = search(asked, lambda batch: _fits(argv[1:], batch, end - time.monotonic()))
    if batch:
        num_parts = asked // batch * config.gradient_accumulation
        in_parts = f", or all in parts: --gradient_accumulation={num_parts}"
        print(
            f"error: a batch of {asked} does not fit into memory; {batch} does: "
            f"--global_batch_size={batch}{in_parts if asked % batch == 0 else ''}",
            file=sys.stderr,
        )
    else:
        print(f"error: no batch was found that fits, of {asked // 2} and less.", file=sys.stderr)
    return OutOfMemoryError.exit_code


def _fits(flags: Sequence[str], batch: int, timeout_seconds: float) -> bool | None:
    environment = {name: value for name, value in os.environ.items() if name != failpoint.VARIABLE}
    with tempfile.TemporaryDirectory(prefix="flowrate-batch-") as folder:
        command = [
            sys.executable, "-m", "trainer.batch_that_fits", _TRY, *flags,
            f"--global_batch_size={batch}", f"--run_dir={Path(folder) / 'run'}", "--resume=auto",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, env=environment,
                timeout=max(0.0, timeout_seconds),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
    if done.returncode == 0:
        return True
    return False if done.returncode in _DOES_NOT_FIT else None


def _train_a_little(run: TrainingRun) -> None:
    """Stands in for loop.train, and ends the process."""
    segment = next(run.plan.segments())
    for _ in itertools.islice(run.engine.run(segment), _NUM_CALLS):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
