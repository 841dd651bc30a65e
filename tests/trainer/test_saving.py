"""Checkpoints in the background: whole, in order, and never silently lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from flowrate.errors import DiskError
from trainer.checkpoints import CheckpointStore
from trainer.progress import Progress
from trainer.saving import BackgroundSaver


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


def test_training_may_change_the_arrays_at_once(store):
    saver = BackgroundSaver(store)
    array, progress = np.arange(4.0), Progress(step=1)
    assert saver.start({"weight": array}, progress) is None
    array[:] = -1
    progress.step = 2
    store.gate.set()
    assert saver.wait().step == 1
    found = store.read(1)
    np.testing.assert_array_equal(found.arrays["weight"], np.arange(4.0))
    assert found.progress.step == 1
    assert store.steps() == [1]


def test_one_at_a_time_in_order(store):
    store.gate.set()
    saver = BackgroundSaver(store)
    before = [saver.start({"w": np.zeros(1)}, Progress(step=step)) for step in (1, 2, 3)]
    assert [each and each.step for each in before] == [None, 1, 2]
    last = saver.wait()
    assert (last.step, saver.wait()) == (3, None)
    assert last.seconds > 0
    assert store.steps() == [1, 2, 3]


def test_close_finishes_what_was_begun(store):
    saver = BackgroundSaver(store)
    saver.start({"w": np.zeros(1)}, Progress(step=5))
    threading.Timer(0.2, store.gate.set).start()
    saver.close()
    assert store.steps() == [5]


def test_a_save_that_fails_is_told_the_next_time(store, tmp_path):
    store.gate.set()
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    saver = BackgroundSaver(store)
    saver.start({"w": np.zeros(1)}, Progress(step=1))
    with pytest.raises(DiskError, match="ckpt-00000001"):
        saver.start({"w": np.zeros(1)}, Progress(step=2))
    assert saver.wait() is None
