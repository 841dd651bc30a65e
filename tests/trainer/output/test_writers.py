"""The records of a run on a disk that fills up: they wait, and nothing ends for their sake."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.tools.disks import filled

from flowrate.records import read_json_lines


@pytest.fixture
def run_on_small_disk(tf, make_disk):
    """A run directory on a small disk, its writer, and the lines that the user sees."""
    from trainer.config import TrainConfig
    from trainer.output.console import Console
    from trainer.output.writers import RunWriter
    from trainer.plan import make_plan
    from trainer.run_dir.folder import RunDir

    class Remembering(Console):
        lines: list[str]

        def say(self, line: str) -> None:
            self.lines.append(line)

    console = Remembering()
    console.lines = []
    config = TrainConfig(run_dir=str(make_disk("size=1m") / "run"), steps=100)
    run_dir = RunDir.open(config, print)
    writer = RunWriter(run_dir, make_plan(config, 1000), console, 0)
    yield run_dir.path, writer, console.lines
    run_dir.close()


def evaluate(writer, step: int) -> None:
    writer.evaluation(
        {"step": step, "split": "test", "loss": 0.5, "accuracy": 0.9, "examples": 1000}
    )


def steps_in(run_dir: Path) -> list[int]:
    return [row["step"] for row in read_json_lines(run_dir / "metrics.jsonl")]


def warnings(lines: list[str], what: str) -> list[str]:
    return [line for line in lines if line.startswith("warning: ") and what in line]


def test_rows_that_found_no_room_at_the_end_are_counted(run_on_small_disk):
    run_dir, writer, lines = run_on_small_disk
    with filled(run_dir.parent):
        for step in range(1, 6):
            evaluate(writer, step)
        writer.close()
    *_, warning = warnings(lines, "metrics.jsonl")
    assert warning.endswith("Its last 5 rows are lost.")
