"""model.keras is written whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest

from flowrate.errors import DiskError


def test_the_model_is_saved_with_the_weights_it_was_judged_by(train):
    import keras

    from trainer import result

    run = train(model="mlp16", steps=5, ema_decay=0.5)
    trained = [weight.numpy() for weight in run.state.model.weights]
    result.save_model(run)
    saved = keras.models.load_model(run.run_dir.path / "model.keras").weights
    with run.state.weights_to_evaluate():
        for weight, ours in zip(saved, run.state.model.weights):
            np.testing.assert_array_equal(weight.numpy(), ours.numpy())
    assert any(np.any(weight.numpy() != before) for weight, before in zip(saved, trained))
    for weight, before in zip(run.state.model.weights, trained):
        np.testing.assert_array_equal(weight.numpy(), before)


def test_no_room_leaves_the_earlier_model_and_no_litter(train, make_disk):
    from trainer import result

    run_dir = make_disk("size=1m") / "run"
    run = train(model="mlp16", steps=2, run_dir=str(run_dir))
    result.save_model(run)
    before = (run_dir / "model.keras").read_bytes()
    free = os.statvfs(run_dir).f_bavail * os.statvfs(run_dir).f_bsize
    (run_dir / "filler").write_bytes(bytes(free - 4096))
    files = sorted(run_dir.rglob("*"))
    with pytest.raises(DiskError, match=r"^cannot write .*/model\.keras: No space left on device"):
        result.save_model(run)
    assert sorted(run_dir.rglob("*")) == files
    assert (run_dir / "model.keras").read_bytes() == before
