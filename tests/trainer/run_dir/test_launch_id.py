"""Starts of a run: told apart, and put in order only within one job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.run_dir.launch_id import Attempt, find_attempt

JOBS = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=1).map(str.strip)
NUMBERS = st.lists(st.integers(0, 10**6), min_size=1, max_size=4).map(tuple)


@given(JOBS.filter(bool), NUMBERS)
def test_what_is_written_is_read(job, number):
    attempt = Attempt(job, number)
    assert Attempt.parse(str(attempt)) == attempt


@given(NUMBERS, NUMBERS)
def test_order_within_a_job(one, other):
    a, b = Attempt("Slurm job 7", one), Attempt("Slurm job 7", other)
    assert a.is_before(b) == (one < other)
    assert not (a.is_before(b) and b.is_before(a))


@given(NUMBERS, NUMBERS)
def test_no_order_between_jobs_nor_without_one(one, other):
    assert not Attempt("Slurm job 7", one).is_before(Attempt("Slurm job 8", other))
    assert not Attempt("", one).is_before(Attempt("", other))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0"}, "Slurm job 17 0.0"),
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


def test_a_requeued_job_comes_after():
    first = find_attempt({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "4"})
    second = find_attempt({"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "1", "SLURM_STEP_ID": "0"})
    assert first.is_before(second)
    assert not second.is_before(first)
