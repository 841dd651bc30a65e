"""The loop over steps, with steps that only count, compiled by XLA and not."""

from __future__ import annotations

import numpy as np
import pytest

STEPS = 120


@pytest.fixture(params=[True, False], ids=["xla", "no xla"])
def run_loop(tf, request):
    """Returns a function that runs a loop whose steps write 1; some go wrong."""
    from trainer.engine.compiled_loop import train_steps

    weight = tf.Variable(0.0)

    @tf.function(jit_compile=request.param or None, autograph=False)
    def run(start, num_steps, bad_step, bad_weight_step):
        def one_step(position):
            weight.assign(tf.where(position == bad_weight_step, np.inf, weight))
            return tf.stack([tf.where(position == bad_step, np.nan, 1.0), 1.0, np.inf])

        return train_steps(
            one_step,
            lambda: tf.math.is_finite(weight),
            start,
            num_steps,
            shape=(STEPS, 3),
            num_checked=2,
            is_compiled=request.param,
        )

    def call(start=0, num_steps=STEPS, bad_step=-1, bad_weight_step=-1):
        weight.assign(0.0)
        trained = run(*map(tf.constant, (start, num_steps, bad_step, bad_weight_step)))
        written = np.flatnonzero(trained.figures.numpy()[:, 1])
        assert written.tolist() == list(range(start, int(trained.end)))
        return int(trained.end), bool(trained.has_finite_state)

    return call


def test_it_trains_the_steps_it_is_told_to(run_loop):
    """Whatever lies in the last column, which is not looked at."""
    for start, num_steps in ((0, 1), (0, 50), (49, 2), (3, 117), (0, STEPS)):
        assert run_loop(start, num_steps) == (start + num_steps, True)


@pytest.mark.parametrize("bad_step", [0, 1, 49, 50, 51, 119])
def test_no_step_follows_one_that_is_not_finite(run_loop, bad_step):
    end, _ = run_loop(bad_step=bad_step)
    assert end == bad_step + 1


@pytest.mark.parametrize("bad_step", [0, 49, 50, 77, 119])
def test_weights_that_are_not_finite_are_found_within_50_steps(run_loop, bad_step):
    end, is_finite = run_loop(bad_weight_step=bad_step)
    assert not is_finite
    assert bad_step < end <= bad_step + 50
    # At the end of a call too, however short it is.
    assert run_loop(bad_step, 1, bad_weight_step=bad_step) == (bad_step + 1, False)
