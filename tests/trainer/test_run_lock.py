"""The lock of a run directory: what may lie in its place, and what may happen to it meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import ClusterError, ConfigError
from trainer.attempt import Attempt
from trainer.run_lock import RunLock

ROOT = Path(__file__).resolve().parents[2]


def make_lock(folder: Path, number: int | None = None) -> RunLock:
    return RunLock(folder, Attempt() if number is None else Attempt("Slurm job 7", (number,)))


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    """Things that are no lock, by name."""
    precious = tmp_path / "precious"
    precious.write_text("what must stay")
    names = ("link", "dangling", "pipe", "folder")
    found = {name: tmp_path / name for name in names}
    found["link"].symlink_to(precious)
    found["dangling"].symlink_to(tmp_path / "nowhere")
    os.mkfifo(found["pipe"])
    found["folder"].mkdir()
    return found


@pytest.mark.parametrize("name", ["link", "dangling", "pipe", "folder"])
def test_what_is_no_plain_file_is_refused_and_not_followed(places, tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    places[name].rename(folder / "lock")
    with pytest.raises(ConfigError, match=r"lock in it is not a plain file; remove it or choose "):
        make_lock(folder).acquire()
    assert (tmp_path / "precious").read_text() == "what must stay"
    assert not (tmp_path / "nowhere").exists()


def test_what_a_dead_process_left_is_taken_over(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from trainer.attempt import Attempt; "
        "from trainer.run_lock import RunLock; RunLock(Path(sys.argv[1]), Attempt()).acquire(); "
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    assert done.returncode == -9
    assert "pid " in (tmp_path / "lock").read_text()
    lock = make_lock(tmp_path)
    lock.acquire()
    assert (tmp_path / "lock").read_text().startswith(f"pid {os.getpid()} on ")
    assert lock.taken_from == ""


def test_who_removes_the_lock_does_not_end_the_run(tmp_path):
    lock = make_lock(tmp_path)
    lock.acquire()
    (tmp_path / "lock").unlink()
    lock.check_held()
    assert (tmp_path / "lock").exists()
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


def test_a_later_start_of_the_same_job_takes_it_and_knows_from_whom(tmp_path):
    earlier, later = make_lock(tmp_path, 0), make_lock(tmp_path, 1)
    earlier.acquire()
    later.acquire()
    assert later.taken_from.startswith(f"pid {os.getpid()} on ")
    with pytest.raises(ClusterError, match=r"Slurm job 7 1\); this one leaves without writing"):
        earlier.check_held()
    later.release()
    later.release()
    assert not later.is_held


def test_a_lock_removed_by_its_last_owner_while_it_was_opened_is_not_taken(tmp_path, monkeypatch):
    """Otherwise two would hold it: one the file that is gone, one a new file."""
    import fcntl

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
