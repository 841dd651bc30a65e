"""What comes of an attempt, and how figures of several go together."""

from __future__ import annotations

import pytest

from benchmarks.faults._attempt import Attempt, Broken, NotHere, check, make, together


def test_an_attempt_that_ends_kept_the_promise():
    outcome = make(Attempt("nothing", lambda folder: {"files": len(list(folder.iterdir()))}))
    assert (outcome.status, outcome.figures) == ("kept", {"files": 0})


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Broken("the run is gone"), "broken", "the run is gone"),
        (NotHere("needs root"), "not here", "needs root"),
        (OSError("no such file"), "broken", "OSError: no such file"),
    ],
)
def test_an_attempt_that_raises(error, status, reason):
    def run(folder):
        raise error

    outcome = make(Attempt("something", run))
    assert (outcome.status, outcome.reason) == (status, reason)


def test_check():
    check(True, "not said")
    with pytest.raises(Broken, match="said"):
        check([], "said")


def test_figures_go_together_as_their_names_say():
    outcomes = [
        make(Attempt(str(n), lambda folder, n=n: {"kills": n, "most_steps": n, "save_seconds": n}))
        for n in (2, 5, 3)
    ]
    assert together(outcomes) == {"kills": 10, "most_steps": 5, "save_seconds": 5}
