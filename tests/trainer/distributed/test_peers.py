"""Who falls silent or says that it ends is named; who only was slow to begin is not."""

from __future__ import annotations

import time

import pytest

from flowrate.errors import PeerLost
from flowrate.records import read_json, write_json
from trainer.distributed import peers
from trainer.distributed.cluster import Cluster
from trainer.distributed.peers import PeerWatch

ADDRESSES = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Returns a function: rank -> (watch that is on, list of what it gave up with)."""
    monkeypatch.setattr(peers, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(peers, "_SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(peers, "_LAST_WORDS_SECONDS", 0.5)
    made = []

    def begin(index: int, is_connected: bool = False):
        given_up: list[PeerLost] = []
        found = PeerWatch(
            tmp_path / "status", Cluster("test", ADDRESSES, index),
            lambda: {"phase": "train", "step": 7, "is_connected": is_connected}, given_up.append,
        )  # fmt: skip
        found.start()
        made.append(found)
        return found, given_up

    yield begin
    for each in made:
        each.end(0, None)


def wait_for(given_up: list[PeerLost], seconds: float = 20) -> str:
    end = time.monotonic() + seconds
    while not given_up and time.monotonic() < end:
        time.sleep(0.02)
    return str(given_up[0])


def test_each_says_where_it_stands(watch, tmp_path):
    watch(1)
    status = read_json(tmp_path / "status" / "worker-1.json")
    assert (status["worker"], status["address"]) == (1, "127.0.0.1:2")
    assert (status["phase"], status["step"]) == ("train", 7)


def test_one_that_ends_badly_is_named_with_its_words(watch):
    _, given_up = watch(0)
    peer, _ = watch(1)
    time.sleep(0.3)
    assert not given_up
    peer.end(3, "photo.jpg is truncated")
    assert wait_for(given_up) == (
        "lost worker 1 (127.0.0.1:2): it ended with status 3: photo.jpg is truncated"
    )


def test_one_that_ends_well_is_not_lost(watch):
    _, given_up = watch(0)
    peer, _ = watch(1)
    peer.end(0, None)
    time.sleep(1.5)
    assert not given_up


def test_one_that_falls_silent_is_named_with_where_it_was(watch, tmp_path):
    path = tmp_path / "status" / "worker-2.json"
    path.parent.mkdir()
    # Left by an earlier start of the run: no news.
    write_json(path, {"exit_code": 7, "error": "old"})
    _, given_up = watch(0)
    time.sleep(1.5)
    assert not given_up
    write_json(path, {"beats": 1, "phase": "evaluate", "step": 40})
    assert "lost worker 2 (127.0.0.1:3): no sign of life" in wait_for(given_up)
    assert "last seen in evaluate, step 40" in str(given_up[0])


def test_after_an_error_of_tensorflow_last_words_are_waited_for(watch):
    survivor, _ = watch(0)
    peer, _ = watch(1)
    time.sleep(0.2)
    peer.end(6, "the loss is not finite")
    assert "the loss is not finite" in str(survivor.find_lost(is_certain=False))


def test_an_error_that_has_nothing_to_do_with_others(watch):
    survivor, _ = watch(0)
    watch(1)
    watch(2)
    assert survivor.find_lost(is_certain=False) is None


def test_somebody_is_gone_without_a_word(watch):
    survivor, _ = watch(0)
    lost = survivor.find_lost(is_certain=True)
    assert isinstance(lost, PeerLost)
    assert "TensorFlow lost the connection" in str(lost)
    assert lost.exit_code == 144


@pytest.mark.parametrize("has_said_so", [True, False])
def test_who_comes_back_alone_and_who_went_on_both_leave(watch, has_said_so):
    """A killed worker is started again while the other still waits for the first one."""
    _, survivor = watch(0, is_connected=True)
    killed, _ = watch(1, is_connected=has_said_so)
    time.sleep(0.3)
    killed._is_over.set()  # As SIGKILL: not a word.
    killed._thread.join()
    _, alone = watch(1)
    assert wait_for(alone) == (
        "worker 0 (127.0.0.1:1) is of another start of this run: it was in train, step 7, when "
        "this worker began; end all workers and restart all."
    )
    assert "lost worker 1 (127.0.0.1:2): it was started again, alone" in wait_for(survivor)
    assert alone[0].exit_code == survivor[0].exit_code == 144


def test_a_later_start_waits_for_those_who_follow_the_earlier(watch, monkeypatch):
    monkeypatch.setattr(peers, "_FOLLOW_SECONDS", 2.0)
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 1")
    watch(0, is_connected=True)
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 2")
    _, joined = watch(1)
    time.sleep(0.3)
    assert not joined
    watch(0)  # The earlier one sees that, and leaves.
    time.sleep(2.5)
    assert not joined
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 1")
    watch(2, is_connected=True)
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 2")
    _, alone = watch(1)
    assert "worker 2 (127.0.0.1:3) is of another start of this run" in wait_for(alone)


def test_one_that_ended_well_may_be_started_again(watch):
    """By a supervisor that always does: who is still busy with the report goes on."""
    _, survivor = watch(0, is_connected=True)
    peer, _ = watch(1, is_connected=True)
    time.sleep(0.3)
    peer.end(0, None)
    time.sleep(0.3)
    watch(1)
    time.sleep(0.5)
    assert not survivor


def test_an_earlier_start_that_has_gone_is_waited_for_no_longer(watch, monkeypatch):
    monkeypatch.setattr(peers, "_FOLLOW_SECONDS", 1.0)
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 1")
    earlier, _ = watch(0, is_connected=True)
    monkeypatch.setenv("FLOWRATE_ATTEMPT", "job 2")
    _, joined = watch(1)
    time.sleep(0.3)
    earlier.end(144, "lost worker 1")
    time.sleep(1.5)
    assert not joined  # --bringup_timeout is what counts now.
