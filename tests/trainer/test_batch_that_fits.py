"""What batch fits, after a run has gone out of memory."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.records import read_json
from trainer.batch_that_fits import search


@given(room=st.integers(0, 5000), more=st.integers(1, 5000))
def test_the_largest_share_that_fits_is_found(room, more):
    too_large = room + more
    found = search(too_large, lambda batch: batch <= room)
    shares = [too_large // 2**n for n in range(1, 15)]
    assert found == next((share for share in shares if 0 < share <= room), None)


def test_what_cannot_be_told_ends_the_search():
    tried = []
    assert search(64, tried.append) is None
    assert tried == [32]


@pytest.mark.slow
def test_a_run_out_of_memory_names_a_batch_that_fits(trainer_main, tmp_path):
    """It trained some steps with that batch, in a process of its own."""
    done = trainer_main(
        "--model=mlp", "--jit=off", "--batch_size=64", "--steps=20", "--run_dir=run",
        FLOWRATE_FAULT="compile:resource_exhausted",
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    first, last = done.stderr.splitlines()[0], done.stderr.splitlines()[-1]
    assert re.match(r"error: out of memory \(OOM when allocating tensor, by a failpoint\); ", first)
    assert last == (
        "error: a batch of 64 does not fit into memory; 32 does: --global_batch_size=32, or all "
        "in parts: --gradient_accumulation=2"
    )
    assert "Traceback" not in done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["exit_code"]) == ("failed", 9)
    assert trainer_main("--model=mlp", "--batch_size=32", "--steps=2").returncode == 0
