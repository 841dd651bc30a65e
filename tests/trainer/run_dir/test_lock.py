"""The lock of a run directory: who gets it, and what may happen to it meanwhile."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import ClusterError, ConfigError
from trainer.run_dir.launch_id import Attempt
from trainer.run_dir.lock import Holder, RunLock

ROOT = Path(__file__).resolve().parents[3]


def make_lock(folder: Path, number: int | None = None, job: str = "Slurm job 7") -> RunLock:
    return RunLock(folder, Attempt() if number is None else Attempt(job, (number,)))


HOLDER = """
import sys
from pathlib import Path
from trainer.run_dir.launch_id import Attempt
from trainer.run_dir.lock import RunLock
lock = RunLock(Path(sys.argv[1]), Attempt())
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until it is told, or made, to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_another_is_refused_until_the_owner_ends_however_it_does(holder, tmp_path, number):
    before = (tmp_path / "lock").read_text()
    assert re.fullmatch(rf"pid {holder.pid} on {platform.node()} since \S+\n", before)
    with pytest.raises(ConfigError, match=rf"in use by {re.escape(before.strip())}; stop it"):
        make_lock(tmp_path).acquire()
    assert (tmp_path / "lock").read_text() == before
    holder.send_signal(number)
    holder.wait()
    lock = make_lock(tmp_path)
    lock.acquire()
    assert lock.taken_over == ""
    assert Holder.parse((tmp_path / "lock").read_text()).owner.startswith(f"pid {os.getpid()} on ")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("elsewhere"), os.mkfifo])
def test_what_is_no_plain_file_is_not_followed_nor_waited_for(tmp_path, make):
    make(tmp_path / "lock")
    with pytest.raises(OSError):  # noqa: PT011 (whatever the system says)
        make_lock(tmp_path).acquire()
    assert os.listdir(tmp_path) == ["lock"]


def test_who_removes_the_lock_does_not_end_the_run(tmp_path):
    lock = make_lock(tmp_path)
    lock.acquire()
    (tmp_path / "lock").unlink()
    lock.check_held()
    with pytest.raises(ConfigError, match=f"is in use by pid {os.getpid()} "):
        make_lock(tmp_path).acquire()


def test_who_removes_the_lock_and_takes_it_ends_the_run(tmp_path):
    lock, other = make_lock(tmp_path), make_lock(tmp_path)
    lock.acquire()
    (tmp_path / "lock").unlink()
    other.acquire()
    with pytest.raises(ClusterError, match="was taken over by a later start"):
        lock.check_held()
    other.check_held()


def test_a_later_launch_of_the_same_job_takes_it_and_knows_from_whom(tmp_path):
    earlier, later = make_lock(tmp_path, 0), make_lock(tmp_path, 1)
    earlier.acquire()
    later.acquire()
    assert f"taken over from pid {os.getpid()} on " in later.taken_over
    assert Holder.parse((tmp_path / "lock").read_text()).attempt == Attempt("Slurm job 7", (1,))
    later.check_held()
    with pytest.raises(ClusterError, match=r"Slurm job 7 1\); this one leaves without writing"):
        earlier.check_held()
    later.release()
    later.release()
    assert not later.is_held


@pytest.mark.parametrize(("job", "number"), [("Slurm job 7", 0), ("8", 1), ("8", 0), ("8", None)])
def test_no_other_takes_it_over(tmp_path, job, number):
    held = make_lock(tmp_path, 0)
    held.acquire()
    with pytest.raises(ConfigError, match="is in use by pid"):
        make_lock(tmp_path, number, job).acquire()
    held.check_held()


def test_a_lock_removed_by_its_last_owner_while_it_was_opened_is_not_taken(tmp_path, monkeypatch):
    """Otherwise two would hold it: one the file that is gone, one a new file."""
    lock = make_lock(tmp_path)
    original, removed = fcntl.flock, []

    def flock(file, operation):
        if not removed:
            removed.append((tmp_path / "lock").unlink())
        original(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock.acquire()
    assert (tmp_path / "lock").exists()
    with pytest.raises(ConfigError, match="is in use"):
        make_lock(tmp_path).acquire()
