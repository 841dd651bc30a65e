"""`--profile_steps`: calls end exactly where the profile begins and ends; the profile is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.errors import ConfigError

profiles = st.none() | st.tuples(st.integers(1, 60), st.integers(0, 30)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@pytest.fixture(scope="module")
def make_profiler(tf):
    from trainer.engine.profiling import StepProfiler

    return lambda steps: StepProfiler(steps, Path("unused"))


@settings(deadline=None, max_examples=300)
@given(profiles, st.integers(1, 40), st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_calls_end_exactly_at_the_ends_of_the_profile(make_profiler, steps, first, wanted):
    profiler = make_profiler(steps)
    step = first
    for num_wanted in wanted:
        num_steps = profiler.cut(step, num_wanted)
        last, last_wanted = step + num_steps - 1, step + num_wanted - 1
        boundaries = {steps[0] - 1, steps[1]} if steps else set()
        within = [b for b in boundaries if step <= b <= last_wanted]
        # As far as was wanted, or to the first boundary on the way.
        assert last == min([last_wanted, *within])
        step = last + 1


def profile_files(run_dir: Path) -> list[Path]:
    return list((run_dir / "tensorboard").rglob("*.xplane.pb"))


def test_a_profile_is_written_and_no_other(train):
    run = train(model="mlp16", steps=12, profile_steps="4,6")
    (path,) = profile_files(run.run_dir.path)
    assert path.stat().st_size > 0
    assert profile_files(train(model="mlp16", steps=2).run_dir.path) == []


def test_the_first_and_the_last_step_can_be_profiled(train):
    run = train(model="mlp16", steps=5, profile_steps="1,5")
    assert len(profile_files(run.run_dir.path)) == 1


@pytest.mark.slow
def test_a_run_that_goes_on_within_the_profile_profiles_the_rest(train, tmp_path):
    """The steps to profile may change on a resume, so a run may begin between the two."""
    flags = {"model": "mlp16", "steps": 12, "checkpoint_every_steps": 6, "run_dir": str(tmp_path)}
    train(**flags)
    newest = tmp_path / "checkpoints" / "ckpt-00000012"
    newest.rename(tmp_path / "elsewhere")
    train(**flags, profile_steps="4,9")
    assert len(profile_files(tmp_path)) == 1


def test_a_profile_beyond_the_end_is_refused(train):
    message = r"^--profile_steps=4,13: the run ends with step 12; give steps within it\.$"
    with pytest.raises(ConfigError, match=message):
        train(model="mlp16", steps=12, profile_steps="4,13")
