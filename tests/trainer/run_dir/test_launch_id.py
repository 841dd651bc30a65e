"""Launches of a run: told apart, and put in order only within one job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.run_dir.launch_id import Attempt, find_attempt

JOBS = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=1).map(str.strip)
NUMBERS = st.lists(st.integers(0, 10**6), min_size=1, max_size=4).map(tuple)


@given(JOBS.filter(bool), NUMBERS, NUMBERS)
def test_what_is_written_is_read_and_has_an_order_within_its_job(job, one, other):
    a, b = Attempt(job, one), Attempt(job, other)
    assert Attempt.parse(str(a)) == a
    assert a.is_before(b) == (one < other)
    assert not a.is_before(Attempt(f"{job}2", other))
    assert not Attempt("", one).is_before(Attempt("", other))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "4"}, "Slurm job 17 0.4"),
        (
            {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "2", "SLURM_STEP_ID": "1"},
            "Slurm job 17 2.1",
        ),
        ({"FLOWRATE_ATTEMPT": "scripts/launch 5 on a since 1.00 3", "SLURM_JOB_ID": "17"},
         "scripts/launch 5 on a since 1.00 3"),
        ({"SLURM_JOB_ID": "seven"}, ""),
        ({"FLOWRATE_ATTEMPT": "nonsense"}, ""),
    ],
)  # fmt: skip
def test_found_in_the_environment(environment, expected):
    assert str(find_attempt(environment)) == expected
