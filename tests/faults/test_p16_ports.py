"""P16: the ports that trainings listen on, counted on the processes themselves."""

from __future__ import annotations

import psutil
import pytest
from faults.tools import runs

pytestmark = pytest.mark.slow
_FLAGS = {"model": "mlp", "steps": 100_000, "report": False, "log_every_steps": 20}
_WARNING = "warning: each worker's port is open on all its interfaces"


@pytest.mark.parametrize(
    "flags", [{"strategy": "one_device"}, {"strategy": "mirrored", "virtual_devices": 2}]
)
def test_one_process_opens_none(flags, tmp_path, record):
    training = runs.Training(tmp_path / "run", **_FLAGS, **flags)
    with runs.running(training) as process:
        training.wait_until(process, training.step)
        assert training.step(), training.said()[-300:]
        found = psutil.Process(process.pid)
        ports = [_num_listening(each) for each in (found, *found.children(recursive=True))]
    assert not any(ports)
    record(open_ports=0)


def test_each_of_several_workers_opens_one_and_warns(tmp_path, record):
    training = runs.Training(tmp_path / "run", launcher=("--workers=2",), **_FLAGS)
    with runs.running(training) as process:
        training.wait_until(process, training.step, timeout_seconds=200)
        assert training.step(), training.said()[-300:]
        launcher = psutil.Process(process.pid)
        workers = [
            each for each in launcher.children(recursive=True) if "trainer.main" in each.cmdline()
        ]
        ports = [_num_listening(worker) for worker in workers]
        own, said = _num_listening(launcher), training.said()
        for worker in workers:  # In sessions of their own.
            worker.kill()
    assert ports == [1, 1]
    assert own == 0
    assert said.count(_WARNING) == 1
    record(open_ports_per_worker=1)


def _num_listening(process: psutil.Process) -> int:
    connections = process.net_connections(kind="inet")
    return sum(connection.status == psutil.CONN_LISTEN for connection in connections)
