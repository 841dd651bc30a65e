"""What a job file asks before and after each start of the workers, and does as it is answered.

    python -m trainer.submit.outcome RUN_DIR begin           the progress so far
    python -m trainer.submit.outcome RUN_DIR --status=144    exit 144, requeue, or restart 2

No TensorFlow.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowrate.command import run_command
from flowrate.errors import FIRST_RETRYABLE_EXIT_CODE, ClusterError, PeerLost, Preempted
from flowrate.options import option
from flowrate.records import read_json, read_json_lines
from trainer.run_dir.launch_id import find_attempt
from trainer.run_dir.lock import Holder

_GROUP = "How the workers ended"
_LONGEST_PAUSE_SECONDS = 60
_NO_PROGRESS = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class End:
    """How one start of the workers ended.

    Attributes:
        status: of all of them: the highest, as srun gives it.
        is_time_over: they were told to save before the time limit.
        restart: how often they had begun again in this job.
        max_restarts: how often they may.
        first_step: the newest checkpoint's when they began, as `progress` gives it.
    """

    status: int = option(0, group=_GROUP, help="The highest exit status of the workers.")
    is_time_over: bool = option(False, group=_GROUP, help="They were told to save.")
    restart: int = option(0, group=_GROUP, help="How often they began again.")
    max_restarts: int = option(3, group=_GROUP, help="How often they may.")
    first_step: int = option(0, group=_GROUP, help="The step of the checkpoint they began from.")


def decide(end: End, statuses: Sequence[int], last_step: int) -> tuple[str, str]:
    """Returns what to do, and why.

    Args:
        end: how the workers ended, taken together.
        statuses: of those workers that could still say how they ended.
        last_step: the newest checkpoint's now.

    Returns:
        (action, reason); the action is `exit N`, `requeue`, or `restart SECONDS`.
    """
    if end.status == 0:
        return "exit 0", "completed"
    # Who lost another worker is not the cause; who was killed could not say so, but srun did.
    causes = [each for each in statuses if each not in (0, PeerLost.exit_code, Preempted.exit_code)]
    cause = causes[0] if causes else end.status
    if cause < FIRST_RETRYABLE_EXIT_CODE:
        return f"exit {cause}", f"a worker ended with status {cause}; trying again would not help"
    if cause == Preempted.exit_code and not end.is_time_over:
        return f"exit {cause}", "stopped by a signal, and saved"
    if end.is_time_over:
        if last_step <= end.first_step:
            return f"exit {_NO_PROGRESS}", (
                f"no step was made within the time limit (step {last_step}); give a larger --time"
            )
        return "requeue", f"the time is over; saved at step {last_step}"
    if end.restart >= end.max_restarts:
        return f"exit {cause}", f"status {cause} after {end.restart} restarts"
    pause = min(2**end.restart, _LONGEST_PAUSE_SECONDS)
    return f"restart {pause}", (
        f"a worker was lost (status {cause}); all begin again from step {last_step}, "
        f"restart {end.restart + 1} of {end.max_restarts}"
    )


def begin(run_dir: Path, environment: Mapping[str, str]) -> int:
    """Clears the way for a start of the workers; returns the progress so far.

    Raises:
        ClusterError: a later start of this job has the run directory: this node was cut off.
    """
    lock = run_dir / "lock"
    holder = Holder.parse(lock.read_text() if lock.exists() else "").attempt
    ours = find_attempt(environment)
    # This script is of no step: only how often the job was requeued is compared.
    if ours.job and holder.job == ours.job and holder.number[:1] > ours.number[:1]:
        raise ClusterError(f"{run_dir} was taken over by a later start of this job ({holder}).")
    # What earlier workers said of themselves is no news.
    shutil.rmtree(run_dir / "status", ignore_errors=True)
    return progress(run_dir)


def progress(run_dir: Path) -> int:
    """Returns the newest checkpoint's step; of benchmarks, the number of rows; 0 without any."""
    records = run_dir / "records.jsonl"
    if records.exists():
        return len(read_json_lines(records))
    names = [path.name for path in (run_dir / "checkpoints").glob("ckpt-*")]
    steps = [int(name.removeprefix("ckpt-")) for name in names if name[5:].isdecimal()]
    return max(steps, default=0)


def read_statuses(run_dir: Path) -> list[int]:
    """Returns the exit statuses that workers have left in status/, the earliest end first."""
    found = []
    for path in (run_dir / "status").glob("worker-*.json"):
        try:
            status = read_json(path)
            found.append((float(status["time"]), int(status["exit_code"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # Killed, or in the middle of it: it has said nothing.
    return [exit_code for _, exit_code in sorted(found)]


def main(argv: Sequence[str]) -> int:
    """Prints the action on standard output and the reason on standard error."""
    return run_command(argv, End, __doc__, _answer)


def _answer(end: End, words: list[str]) -> None:
    run_dir = Path(words[0])
    if words[1:] == ["begin"]:
        print(begin(run_dir, os.environ))
        return
    action, reason = decide(end, read_statuses(run_dir), progress(run_dir))
    print(action)
    print(f"[job] {reason}.", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
