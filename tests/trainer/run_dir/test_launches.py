"""The record of a run's starts: what each says of itself, and of the one before."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import pytest

from flowrate.environment import process_seconds
from flowrate.errors import ClusterError
from flowrate.records import append_json_lines, read_json_lines
from trainer.run_dir.launches import Starts, describe_starts

FIELDS = {
    "schema_version", "start", "pid", "host", "started_at", "boot_id", "out_of_memory_kills",
}  # fmt: skip


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "starts.jsonl"


def begun(path: Path, **facts: float) -> Starts:
    starts = Starts(path)
    starts.begin()
    starts.note(**facts)
    return starts


def rewrite(path: Path, **facts) -> None:
    (row,) = read_json_lines(path)
    path.unlink()
    append_json_lines(path, [row | facts])


def test_a_row_for_each_start(path):
    before = time.time()
    for number in (1, 2, 3):
        starts = begun(path, from_step=10 * number)
        starts.begin()  # twice is once
        assert starts.describe_lost(0) is None
        assert starts.number == number
        starts.measure = lambda: {"step": 15, "counted_seconds": 2.5}
        starts.end(0)
    rows = read_json_lines(path)
    assert [row["start"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row.keys() == FIELDS | {
            "from_step", "ended_at", "exit_code", "step", "counted_seconds",
        }  # fmt: skip
        assert (row["pid"], row["host"]) == (os.getpid(), platform.node())
        assert row["started_at"] < before + 2 <= row["ended_at"] + 2
        assert (row["exit_code"], row["step"], row["counted_seconds"]) == (0, 15, 2.5)


def test_one_that_never_began_writes_nothing(path):
    starts = Starts(path)
    starts.note(from_step=1)
    starts.end(0)
    assert not path.exists()
    assert starts.number == 1
    assert starts.effective_share(5.0) is None


def test_the_start_that_lost_the_folder_writes_nothing(path):
    def lost():
        raise ClusterError("taken over")

    starts = begun(path)
    before = path.read_bytes()
    starts._check_held = lost
    starts.end(4)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "before its first step: killed."),
        ({"from_step": 0}, "at step 7: killed."),
        ({"out_of_memory_kills": -1}, "killed (137: out of memory?); --cache=none or a smaller "),
        ({"boot_id": "another"}, "the machine was started anew since."),
        ({"host": "elsewhere"}, "killed, or its machine was lost."),
        ({"pid": "x", "out_of_memory_kills": "many"}, "(pid x on "),
    ],
)
def test_why_it_may_have_ended(path, facts, words):
    begun(path)
    rewrite(path, **facts)
    line = begun(path).describe_lost(7)
    assert line.startswith("the previous start (pid ")
    assert words in line


@pytest.mark.parametrize(
    ("facts", "has_saved"),
    [
        ({}, False),
        ({"from_step": 0}, False),
        ({"from_step": 20}, True),
        ({"exit_code": 143, "step": 0}, False),
        ({"exit_code": 143, "step": 20}, True),
        ({"exit_code": 6, "step": 20}, False),
    ],
)
def test_which_starts_tell_of_a_checkpoint(path, facts, has_saved):
    begun(path, **facts)
    assert begun(path).has_saved() is has_saved


def test_rows_that_are_none_are_left_out(path):
    path.write_text(
        '{"started_at": "yesterday"}\n{"started_at": true}\n{}\n{"started_at": 1e300}\n[]\n{half\n'
    )
    starts = begun(path)
    assert starts.number == 1
    assert starts.describe_lost(3) is None
    assert len(read_json_lines(path)) == 1


def test_the_share_is_of_the_time_since_the_first_start(path):
    begun(path)
    rewrite(path, started_at=time.time() - 1000)
    begun(path)
    assert begun(path).effective_share(250.0) == pytest.approx(0.25, abs=0.01)


def test_the_time_before_a_complete_run_is_trained_further_is_not_lost(path):
    now = time.time()
    begun(path)
    rewrite(path, started_at=now - 1000, ended_at=now - 900, exit_code=0)
    # This start is as old as the process of the tests.
    whole = 100 + process_seconds()
    assert begun(path).effective_share(whole / 2) == pytest.approx(0.5, abs=0.01)


def test_a_clock_set_back_gives_no_nonsense(path):
    begun(path)
    rewrite(path, started_at=time.time() + 1000)
    starts = begun(path)
    assert starts.effective_share(250.0) == 1.0
    assert starts.effective_share(0.0) == 0.0


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"num_starts": 3, "effective_training_share": 0.5}, "3; 50.0% of the time since"),
        ({"num_starts": 1, "effective_training_share": 0.5}, ""),
        ({"num_starts": 3, "effective_training_share": None}, ""),
        ({"num_starts": "3", "effective_training_share": 0.5}, ""),
        ({}, ""),
    ],
)
def test_what_the_user_is_told(result, text):
    assert describe_starts(result).startswith(text)
    assert bool(describe_starts(result)) == bool(text)
