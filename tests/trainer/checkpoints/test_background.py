"""Checkpoints in the background: whole, in order, and never silently lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from flowrate.errors import DiskError, DivergedError
from trainer.checkpoints import background as saving
from trainer.checkpoints import interval as save_interval
from trainer.checkpoints.background import BackgroundSaver
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import CheckpointStore


class _GatedStore(CheckpointStore):
    """Waits before it writes until it is let."""

    gate: threading.Event

    def save(self, arrays, progress):
        assert self.gate.wait(30)
        return super().save(arrays, progress)


@pytest.fixture
def store(tmp_path):
    store = _GatedStore(tmp_path / "checkpoints", keep=3, tell=print)
    store.gate = threading.Event()
    return store


@pytest.fixture
def lines():
    """What the saver has told."""
    return []


@pytest.fixture
def make_saver(store, lines):
    savers = []

    def make(is_by_clock: bool = False, of: CheckpointStore = store) -> BackgroundSaver:
        savers.append(BackgroundSaver(of, lines.append, is_by_clock=is_by_clock))
        return savers[-1]

    yield make
    store.gate.set()
    for saver in savers:
        saver.close()


@pytest.fixture
def quick(monkeypatch):
    """Retries, and saves by the clock, come at once."""
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(saving, "_LAST_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(save_interval, "SHORTEST_SECONDS", 0.0)


def arrays(value: float = 0.0, size: int = 4) -> dict[str, np.ndarray]:
    return {"weight": np.full(size, value)}


def best_at(step: int, best: int) -> Progress:
    return Progress(step=step, best={"step": best, "split": "test", "accuracy": 0.9, "loss": 0.1})


def steps(saved) -> list[int]:
    return [each.step for each in saved]


def test_training_may_change_the_arrays_at_once(store, make_saver):
    saver = make_saver()
    array, progress = np.arange(4.0), Progress(step=1)
    assert saver.start({"weight": array}, progress) == []
    array[:] = -1
    progress.step = 2
    assert saver.finished() == []
    store.gate.set()
    assert steps(saver.finish()) == [1]
    found = store.read(1)
    np.testing.assert_array_equal(found.arrays["weight"], np.arange(4.0))
    assert found.progress.step == 1
    assert store.steps() == [1]


def test_one_at_a_time_in_order(store, make_saver):
    store.gate.set()
    saver = make_saver()
    before = [steps(saver.start(arrays(), Progress(step=step))) for step in (1, 2, 3)]
    assert before == [[], [1], [2]]
    (last,) = saver.finish()
    assert (last.step, saver.finish()) == (3, [])
    assert last.seconds >= last.cpu_seconds > 0
    assert store.steps() == [1, 2, 3]


def test_by_the_clock_none_is_due_while_one_is_written(store, make_saver, quick):
    saver = make_saver(is_by_clock=True)
    assert saver.is_due()
    saver.start(arrays(), Progress(step=1))
    assert not saver.is_due()
    store.gate.set()
    assert steps(saver.finish()) == [1]
    while not saver.is_due():  # What it took is long over soon.
        time.sleep(0.01)


def test_close_finishes_what_was_begun(store, make_saver):
    saver = make_saver()
    saver.start(arrays(), Progress(step=5))
    threading.Timer(0.2, store.gate.set).start()
    saver.close()
    assert store.steps() == [5]


def test_the_best_is_written_before_what_tells_of_it(store, make_saver):
    store.gate.set()
    saver = make_saver(is_by_clock=True)
    weight = np.full(4, 2.0)
    saver.hold_best({"weight": weight}, best_at(2, best=2))
    weight[:] = 3.0
    saver.hold_best(arrays(4.0), best_at(4, best=4))
    saver.start(arrays(7.0), best_at(7, best=4))
    assert steps(saver.finish()) == [4, 7]
    np.testing.assert_array_equal(store.read(4).arrays["weight"], np.full(4, 4.0))
    # Once: it lies there.
    saver.start(arrays(9.0), best_at(9, best=4))
    assert steps(saver.finish()) == [9]


def test_a_best_that_comes_while_another_save_is_written_is_not_lost(store, make_saver):
    saver = make_saver(is_by_clock=True)
    saver.hold_best(arrays(1.0), best_at(1, best=1))
    saver.start(arrays(2.0), best_at(2, best=1))
    saver.hold_best(arrays(3.0), best_at(3, best=3))
    store.gate.set()
    assert steps(saver.start(arrays(4.0), best_at(4, best=3))) == [1, 2]
    assert steps(saver.finish()) == [3, 4]


def test_what_diverged_is_told_the_next_time(store, make_saver):
    store.gate.set()
    saver = make_saver()
    saver.start(arrays(np.nan), Progress(step=1))
    with pytest.raises(DivergedError, match="after step 1, weight"):
        saver.start(arrays(), Progress(step=2))


# --- a disk that takes no more ----------------------------------------------------------------


@pytest.fixture
def full_disk(make_disk):
    """A store on a disk with room for a checkpoint of 100,000 numbers, and a file in the way."""
    folder = make_disk("size=2m")
    store = CheckpointStore(folder / "checkpoints", keep=1, tell=print)
    store.save(arrays(1.0), Progress(step=1))
    (folder / "others").write_bytes(bytes(1_500_000))
    return store, folder / "others"


def test_after_a_failure_saves_wait_until_it_is_tried_again(
    full_disk, make_saver, lines, monkeypatch
):
    """However often saves are asked for: three failures within a second say little."""
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 1000.0)
    store, others = full_disk
    saver = make_saver(of=store)
    for step in range(2, 20):
        saver.start(arrays(size=100_000), Progress(step=step))
        assert not saver.is_due()
    assert len(lines) == 1
    others.unlink()
    assert steps(saver.finish()) == [19]


def test_a_best_that_could_not_be_written_comes_with_the_next(full_disk, make_saver, quick):
    store, others = full_disk
    saver = make_saver(of=store)
    saver.start(arrays(2.0, size=100_000), best_at(2, best=2))
    with pytest.raises(DiskError):
        saver.finish()
    others.unlink()
    saver.start(arrays(3.0), best_at(3, best=2))
    assert steps(saver.finish()) == [2, 3]
