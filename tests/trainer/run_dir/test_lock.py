"""The lock of a run directory: what may lie in its place, and what may happen to it meanwhile."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import ClusterError, ConfigError
from trainer.run_dir.launch_id import Attempt
from trainer.run_dir.lock import RunLock

ROOT = Path(__file__).resolve().parents[3]


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


def hold_and_end(folder: Path, end: str) -> str:
    """Lets another process take the lock and end; returns what it has left in the file."""
    code = (
        "import sys, os; from pathlib import Path; from trainer.run_dir.launch_id import Attempt; "
        "from trainer.run_dir.lock import RunLock; lock = RunLock(Path(sys.argv[1]), Attempt()); "
        f"lock.acquire(); {end}"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT)
    return (folder / "lock").read_text()


def test_what_a_killed_process_left_is_taken_over_and_told_of(tmp_path):
    left = hold_and_end(tmp_path, "os.kill(os.getpid(), 9)")
    assert re.fullmatch(rf"pid \d+ on {platform.node()} since \S+\n", left)
    lock = make_lock(tmp_path)
    lock.acquire()
    assert lock.taken_over == f"the lock of {left.strip()} was left behind; taken over."
    text = (tmp_path / "lock").read_text()
    assert text.startswith(f"pid {os.getpid()} on ")
    assert text.count("\n") == 1


@pytest.mark.parametrize("end", ["lock.note_end(); os._exit(1)", "lock.release()"])
def test_who_has_ended_in_order_is_not_told_of(tmp_path, end):
    assert hold_and_end(tmp_path, end).endswith("\nended\n")
    lock = make_lock(tmp_path)
    lock.acquire()
    assert lock.taken_over == ""
    assert "ended" not in (tmp_path / "lock").read_text()


def test_who_still_ends_is_named_to_others_and_gives_way_to_a_later_start(tmp_path):
    """It has noted its end, and holds the lock until it is gone."""
    earlier = make_lock(tmp_path, 1)
    earlier.acquire()
    earlier.note_end()
    with pytest.raises(ConfigError, match=rf"in use by pid {os.getpid()} on \S+ since \S+; stop"):
        make_lock(tmp_path).acquire()
    make_lock(tmp_path, 2).acquire()
    with pytest.raises(ClusterError, match="was taken over by a later start"):
        earlier.check_held()


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
    assert re.fullmatch(
        rf"taken over from pid {os.getpid()} on \S+ since \S+, an earlier start of this job; it "
        r"writes no more\.", later.taken_over,
    )  # fmt: skip
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
