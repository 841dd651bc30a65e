"""Counts what the tests of each promise saw; `scripts/faults --record` makes rows of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from faults.tools import promises
from faults.tools.sizes import SEED

FOLDER = Path(__file__).resolve().parent
_attempts: dict[str, list[promises.Attempt]] = {}


@pytest.fixture
def record(record_property):
    """Returns a function that notes figures of an attempt: `record(kills=5, most_seconds=2.1)`."""

    def note(**figures: float) -> None:
        for name, value in figures.items():
            record_property(name, value)

    return note


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == FOLDER and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))


def pytest_runtest_logreport(report):
    number = re.search(r"/test_p(\d\d)_", report.nodeid)
    is_end = report.when == "call" or not report.passed
    if number and is_end:
        reason = str(report.longrepr[2] if report.skipped else report.longreprtext[-300:])
        attempt = promises.Attempt(
            report.nodeid.partition("::")[2], report.outcome, reason,
            promises.merged(report.user_properties), report.duration,
        )  # fmt: skip
        _attempts.setdefault(f"P{int(number[1])}", []).append(attempt)


def pytest_terminal_summary(terminalreporter):
    for number, attempts in sorted(_attempts.items(), key=lambda pair: int(pair[0][1:])):
        if any(attempt.figures for attempt in attempts):
            words = promises.in_words(promises.metrics(attempts))
            terminalreporter.write_line(f"{number}: {promises.TITLES[number][1]}: {words}")


def pytest_sessionfinish(session):
    is_worker = hasattr(session.config, "workerinput")
    if _attempts and not is_worker and os.environ.get("FLOWRATE_FAULTS_RECORD") == "1":
        promises.write(_attempts, SEED)
