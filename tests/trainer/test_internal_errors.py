"""An error of the program itself: one line, status 7, and what was trained is saved."""

from __future__ import annotations

import pytest
from faults.tools import runs

FLAGS = {
    "dataset": "digits", "model": "mlp16", "steps": 300, "steps_per_call": 20, "log_every_steps": 7,
    "evaluate_every_steps": 100, "checkpoint_every_steps": 1000, "deterministic": True,
    "report": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "saved_steps"),
    # Calls of 1, 20, 20 and 4 steps: an epoch has 45. The best is kept beside the last.
    [("step:4:error", [45]), ("evaluate:2:error", [100, 200]), ("compile:error", [])],
)
@pytest.mark.slow
def test_nothing_that_was_trained_is_lost(tmp_path, fault, saved_steps):
    failing = runs.Training(tmp_path / "run", environment={"FLOWRATE_FAULT": fault}, **FLAGS)
    ended = failing.run()
    assert ended.exit_code == 7, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert line == (
        "error: an error of the program itself: RuntimeError: by a failpoint; the traceback is in "
        f"{tmp_path / 'run' / 'traceback.txt'}."
    )
    saved = [int(path.name[5:]) for path in failing.checkpoints()]
    assert saved == saved_steps
    again = runs.Training(tmp_path / "run", **FLAGS)
    said = again.finish().stdout
    for step in saved_steps[-1:]:
        assert f"resumed from step {step}" in said
    runs.check_same_run(tmp_path / "run", runs.reference(**FLAGS))
    runs.check_no_litter(tmp_path / "run")


@pytest.mark.parametrize("place", ["in a step", "in its record", "before what is due"])
def test_what_was_broken_off_is_not_saved(train, tmp_path, monkeypatch, place):
    from trainer.checkpoints.background import BackgroundSaver
    from trainer.engine.engine import StepEngine
    from trainer.output.writers import RunWriter

    # The seventh call ends with step 100, where an evaluation is due.
    owner, name, nth = {
        "in a step": (StepEngine, "_call", 3),
        "in its record": (RunWriter, "log", 3),
        "before what is due": (BackgroundSaver, "finished", 7),
    }[place]
    whole, times = getattr(owner, name), []

    def broken_off(self, *arguments):
        times.append(whole(self, *arguments))
        if len(times) == nth:
            raise RuntimeError("half-way")
        return times[-1]

    monkeypatch.setattr(owner, name, broken_off)
    with pytest.raises(RuntimeError, match="half-way"):
        train(**{**FLAGS, "deterministic": False}, run_dir=str(tmp_path / "run"))
    assert not [*(tmp_path / "run" / "checkpoints").glob("ckpt-*")]
