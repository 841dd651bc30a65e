"""P9: a worker that never comes: the others wait as long as they are told, and name its address."""

from __future__ import annotations

import time

import pytest
from faults.tools import workers
from faults.tools.sizes import sized

from flowrate.errors import ClusterError

pytestmark = pytest.mark.slow
_TIMEOUT_SECONDS = 10
# What a start and an end take beside, on a busy machine.
_SLACK_SECONDS = 20.0
_CASES = [(2, (1,)), (2, (0,)), (3, (1,)), (3, (0, 2)), (4, (3,)), (4, (1, 2, 3))]


@pytest.mark.parametrize(("count", "missing"), sized(_CASES[:2], _CASES))
def test_the_others_name_its_address(count, missing, tmp_path, record):
    every = workers.make_workers(
        tmp_path, [workers.LOOPBACK] * count, dataset="digits", steps=10,
        bringup_timeout=_TIMEOUT_SECONDS,
    )  # fmt: skip
    present = [worker for index, worker in enumerate(every) if index not in missing]
    began = time.monotonic()
    with workers.running(present) as processes:
        for worker, process in zip(present, processes):
            ended = worker.end(process, _TIMEOUT_SECONDS + 4 * _SLACK_SECONDS)
            seconds = time.monotonic() - began
            assert ended.exit_code == ClusterError.exit_code
            assert all(every[index].address in ended.stderr for index in missing), ended.stderr
            errors = [line for line in ended.stderr.splitlines() if "warning: " not in line]
            assert len(errors) == 1, ended.stderr
    assert _TIMEOUT_SECONDS <= seconds <= _TIMEOUT_SECONDS + _SLACK_SECONDS
    record(missing=len(missing), most_wait_seconds=seconds)
