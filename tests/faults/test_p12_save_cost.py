"""P12: what saves cost at the default interval, by the run's own records; and a slow disk."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.tools import runs, strace
from faults.tools.sizes import sized

from flowrate.records import read_json

pytestmark = pytest.mark.slow
_MOST_SHARE = 0.035
_FLAGS = {"model": "cnn", "report": False}
# Long enough for a few saves by the clock.
_STEPS = {"digits": 12_000, "mnist": 6_000}
# A save makes five such calls; with what it does besides it takes longer than the interval.
_FSYNC_SECONDS = 2.5
_RAISED = re.compile(
    r"a save took ([\d.]+) s, longer than the interval of (\d+) s; interval raised to (\d+) s\."
)


@pytest.mark.parametrize("dataset", sized(["digits"], ["digits", "mnist"]))
def test_saves_by_the_clock_cost_little(dataset, tmp_path, record):
    """The share of the time of the steps that training waits for saves, or gives them its CPU."""
    given = {"dataset": dataset} if dataset == "digits" else runs.data_flags(dataset)
    training = runs.Training(tmp_path / "run", **_FLAGS, **given, steps=_STEPS[dataset])
    training.finish(600)
    saves = training.rows("checkpoint")
    seconds = read_json(training.run_dir / "result.json")["seconds"]
    lost = seconds["checkpoint"] + sum(row["cpu_seconds"] for row in saves)
    share = lost / (seconds["train"] + seconds["input_wait"] + seconds["log"])
    assert len(saves) >= 2, f"only {len(saves)} saves in {seconds['train']:.0f} s"
    assert share <= _MOST_SHARE, f"saves cost {share:.1%} of the time, more than {_MOST_SHARE:.1%}"
    longest = max(row["seconds"] for row in saves)
    record(saves=len(saves), cost_share=share, longest_save_seconds=longest)


def test_training_does_not_wait_for_a_slow_disk(tmp_path, record):
    """A save of 12 s: training goes on beside it, and the next one comes so much later."""
    training = runs.Training(
        tmp_path / "run",
        **_FLAGS,
        steps=10_000_000,
        log_every_steps=10,
        evaluate_every_steps=100_000,
    )
    with runs.running(training) as process:
        training.wait_until(process, training.checkpoints)
        with strace.slowed(process, "fsync", _FSYNC_SECONDS):
            saves = _watch_saves(training, process)
            (first_began, first_steps), (second_began, second_steps) = next(saves), next(saves)
    told = _RAISED.search(training.said())
    assert told, f"nothing was told of the slow disk: {training.said()[-300:]}"
    took, interval, raised = (float(figure) for figure in told.groups())
    assert took > interval, told.group()
    assert second_began - first_began >= raised - 0.5, "the next save did not wait so long"
    least = min(first_steps, second_steps)
    assert least > 50, f"training waited for a save: {least} steps went on beside it"
    record(saves=2, least_steps_meanwhile=least, slow_save_seconds=took)


def _watch_saves(training: runs.Training, process: subprocess.Popen) -> Iterator[tuple[float, int]]:
    """Yields of each save when it began and how many steps were trained meanwhile."""

    def unfinished() -> list[Path]:
        found = [
            path for path in (training.run_dir / "checkpoints").glob("*.tmp")
            if ".deleted" not in path.name
        ]  # fmt: skip
        assert len(found) < 2, f"two saves at once: {found}"
        return found

    while True:
        training.wait_until(process, unfinished)
        began, step = time.monotonic(), training.step()
        training.wait_until(process, lambda: not unfinished())
        assert process.poll() is None, f"it ended: {training.said()[-300:]}"
        yield began, training.step() - step
