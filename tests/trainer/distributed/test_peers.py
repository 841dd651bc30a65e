"""Who falls silent, ends, or is of another launch is named; who only was slow to begin is not."""

from __future__ import annotations

import pytest

from flowrate.errors import ClusterError, PeerLost
from flowrate.records import read_json, write_json
from trainer.distributed import peers
from trainer.distributed.cluster import Cluster
from trainer.distributed.peers import PeerWatch

ADDRESSES = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(tmp_path, monkeypatch, clock):
    """Returns a function: -> the watch of a process that has said once that it is there."""
    monkeypatch.setattr(peers, "_LAST_WORDS_SECONDS", 0.3)

    def begin(index: int, launch: str = "", is_connected: bool = False, **options) -> PeerWatch:
        monkeypatch.setenv("FLOWRATE_ATTEMPT", launch)
        found = PeerWatch(
            tmp_path / "status", Cluster("test", ADDRESSES, index),
            lambda: {"phase": "train", "step": 7, "is_connected": is_connected},
            lambda error: None, now=clock, **options,
        )  # fmt: skip
        (tmp_path / "status").mkdir(exist_ok=True)
        assert not isinstance(found.look(), ClusterError)
        return found

    return begin


def pass_time(clock: Clock, seconds: int, *alive: PeerWatch) -> list:
    """Lets time pass, a second at a time; returns what the last of those alive found each time."""
    found = []
    for _ in range(seconds):
        clock.seconds += 1
        found += [each.look() for each in alive][-1:]
    return found


def test_each_says_where_it_stands(watch, tmp_path):
    watch(1)
    status = read_json(tmp_path / "status" / "worker-1.json")
    assert (status["worker"], status["address"]) == (1, "127.0.0.1:2")
    assert (status["phase"], status["step"]) == ("train", 7)


@pytest.mark.parametrize("exit_code", [3, 137])
def test_one_that_ends_badly_is_named_with_its_words(watch, exit_code):
    survivor, peer = watch(0), watch(1)
    assert survivor.look() is None
    peer.end(exit_code, "photo.jpg is truncated")
    error = survivor.look()
    assert isinstance(error, PeerLost)
    for word in ("worker 1 (127.0.0.1:2)", f"status {exit_code}", ": photo.jpg is truncated"):
        assert word in str(error)


def test_one_that_has_found_who_was_lost_is_believed(watch):
    survivor, peer = watch(0), watch(1)
    peer.end(144, "lost worker 2")
    assert str(survivor.look()) == "lost worker 2"


@pytest.mark.parametrize("exit_code", [0, 143])
def test_one_that_ends_well_is_not_lost(watch, clock, exit_code):
    survivor, peer = watch(0), watch(1, is_connected=True)
    survivor.look()
    peer.end(exit_code, None)
    assert not any(pass_time(clock, 60, survivor))
    # A supervisor may start it again: who is still busy with the report goes on.
    watch(1)
    assert survivor.look() is None


def test_one_that_falls_silent_is_named_with_where_it_was(watch, clock, tmp_path):
    path = tmp_path / "status" / "worker-2.json"
    path.parent.mkdir()
    # Left by an earlier launch of the run: no news.
    write_json(path, {"exit_code": 7, "error": "old"})
    survivor = watch(0)
    assert not any(pass_time(clock, 60, survivor))
    write_json(path, {"beats": 1, "phase": "evaluate", "step": 40})
    found = pass_time(clock, 30, survivor)
    assert not any(found[:20])
    assert "worker 2 (127.0.0.1:3)" in str(found[-1])
    assert "evaluate, step 40" in str(found[-1])


def test_who_was_held_up_itself_accuses_nobody(watch, clock):
    survivor, peer = watch(0), watch(1)
    survivor.look()
    clock.seconds += 1000
    assert survivor.look() is None
    assert not any(pass_time(clock, 30, peer, survivor))


def test_after_an_error_of_tensorflow_last_words_are_waited_for(watch):
    survivor, peer = watch(0), watch(1)
    assert survivor.find_lost(is_certain=False) is None
    assert "127.0.0.1" in str(survivor.find_lost(is_certain=True))
    peer.end(6, "the loss is not finite")
    assert "the loss is not finite" in str(survivor.find_lost(is_certain=False))


@pytest.mark.parametrize("has_said_so", [True, False])
def test_who_comes_back_alone_and_who_went_on_both_leave(watch, has_said_so):
    """A killed worker is started again while the other still waits for the first one."""
    survivor = watch(0, is_connected=True)
    watch(1, is_connected=has_said_so)
    assert survivor.look() is None
    alone = watch(1)
    left = survivor.look()
    found = alone.look()
    assert isinstance(left, PeerLost)
    assert isinstance(found, PeerLost)
    assert "lost worker 1 (127.0.0.1:2)" in str(left)
    for word in ("worker 0 (127.0.0.1:1)", "another start of this run", "train, step 7"):
        assert word in str(found)


def test_who_comes_back_before_all_were_connected_is_taken(watch):
    survivor = watch(0)
    watch(1)
    assert survivor.look() is None
    again = watch(1)
    assert survivor.look() is None
    assert again.look() is None


def test_workers_of_an_earlier_launch_leave_and_those_of_the_later_wait(watch):
    member, chief = watch(1, "job 1"), watch(0, "job 1", is_connected=True)
    assert [member.look(), chief.look()] == [None, None]
    later = watch(1, "job 2")
    assert "later start of this run (job 2)" in str(chief.look())  # In the other's place.
    replaced = member.look()  # In its own.
    assert isinstance(replaced, ClusterError)
    assert "later start of this run (job 2)" in str(replaced)
    assert later.look() is None
    assert watch(0, "job 2").look() is None
    assert later.look() is None


def test_a_launch_of_another_job_is_a_stranger(watch):
    there = watch(0, "job 1", is_connected=True)
    alone = watch(1, "other 2")
    there.look()
    assert "another start of this run" in str(alone.look())
