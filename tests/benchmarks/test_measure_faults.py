"""A promise as a row of a suite: what was kept, broken, or cannot be tried here."""

from __future__ import annotations

import types

import pytest

from benchmarks import measure_faults
from benchmarks.faults._attempt import Attempt, Broken, NotHere


def _raise(error):
    raise error


KEPT = Attempt("kept", lambda folder: {"kills": 2, "most_resume_seconds": 3.0})
BROKEN = Attempt("flips", lambda folder: _raise(Broken("not found")))
ELSEWHERE = Attempt("mounts", lambda folder: _raise(NotHere("needs root")))


@pytest.fixture
def measure(monkeypatch):
    def run(*attempts: Attempt, seed: int = 0):
        module = types.SimpleNamespace(attempts=lambda full, seed: list(attempts))
        catalog = types.SimpleNamespace(load=lambda name: (module, ""))
        monkeypatch.setattr(measure_faults, "PROMISES", catalog)
        return measure_faults.measure_faults({"seed": seed}, "damage", full=True)

    return run


def test_what_was_kept_is_counted(measure):
    row = measure(KEPT, KEPT, ELSEWHERE, seed=3)
    assert row["status"] == "ok"
    assert row["metrics"] == {
        "attempts": 2, "attempts_kept": 2, "attempts_not_here": 1,
        "kills": 4, "most_resume_seconds": 3.0,
    }  # fmt: skip
    assert row["labels"] == {}
    assert row["command"] == "python -m benchmarks.faults damage --full --seed=3"


def test_one_that_broke_fails_the_row_and_is_named(measure):
    row = measure(KEPT, BROKEN)
    assert (row["status"], row["error"]) == ("failed", "broken: flips: not found")
    assert row["metrics"]["attempts_kept"] == 1


def test_where_nothing_can_be_tried_the_row_is_skipped(measure):
    row = measure(ELSEWHERE)
    assert (row["status"], row["error"]) == ("skipped", "mounts: needs root")


def test_each_attempt_is_told_of_as_it_ends(measure, capsys):
    measure(KEPT, BROKEN)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  1/2 kept: kept: kills 2, most_resume_seconds 3, ")
    assert second.startswith("  2/2 broken: flips: not found, ")
