"""What a job does after its workers have ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.errors import ClusterError
from trainer.submit.outcome import End, begin, decide, progress, read_statuses

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("end", "statuses", "last_step", "action"),
    [
        ({"status": 0}, [0, 0], 60, "exit 0"),
        # A cause that is the user's to mend is not tried again, though others lost that worker.
        ({"status": 144}, [3, 144], 0, "exit 3"),
        ({"status": 144}, [144, 6], 0, "exit 6"),
        # One was killed and could not say so.
        ({"status": 144}, [144], 40, "restart 1"),
        ({"status": 137, "restart": 2}, [144], 40, "restart 4"),
        ({"status": 137, "restart": 3}, [144], 40, "exit 137"),
        ({"status": 143}, [143, 143], 40, "exit 143"),
        ({"status": 143, "is_time_over": True, "first_step": 10}, [143, 143], 40, "requeue"),
        ({"status": 143, "is_time_over": True, "first_step": 40}, [143, 143], 40, "exit 1"),
        # Killed at the limit while it saved: what was saved before counts.
        ({"status": 137, "is_time_over": True, "first_step": 10}, [], 40, "requeue"),
        ({"status": 4}, [4, 4], 0, "exit 4"),
    ],
)
def test_decision(end, statuses, last_step, action):
    assert decide(End(**end), statuses, last_step)[0] == action


@given(
    st.integers(1, 255), st.lists(st.integers(0, 255), max_size=4), st.integers(0, 9),
    st.integers(0, 9), st.booleans(),
)  # fmt: skip
def test_no_failure_ends_as_success_and_none_goes_on_for_ever(
    status, statuses, restart, last_step, is_time_over
):
    end = End(status=status, restart=restart, max_restarts=3, is_time_over=is_time_over)
    action, reason = decide(end, statuses, last_step)
    assert reason
    assert action != "exit 0"
    if action.startswith("restart"):
        assert restart < 3
    if action == "requeue":
        assert last_step > end.first_step


def test_statuses_in_the_order_of_the_ends(tmp_path):
    (tmp_path / "status").mkdir()
    for index, (time, exit_code) in enumerate([(5.0, 144), (3.0, 6), (4.0, None)]):
        status = {"time": time} | ({} if exit_code is None else {"exit_code": exit_code})
        (tmp_path / "status" / f"worker-{index}.json").write_text(json.dumps(status))
    (tmp_path / "status" / "worker-3.json").write_text("{half")
    assert read_statuses(tmp_path) == [6, 144]


def test_progress_is_the_newest_checkpoint_or_the_rows(tmp_path):
    assert progress(tmp_path) == 0
    for name in ("ckpt-00000100", "ckpt-00000200", "ckpt-00000300.tmp", "ckpt-x"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert progress(tmp_path) == 200
    (tmp_path / "records.jsonl").write_text("{}\n{}\n")
    assert progress(tmp_path) == 2


def test_a_script_on_a_node_that_was_cut_off_begins_nothing(tmp_path):
    environment = {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "1"}
    (tmp_path / "status").mkdir()
    lock = tmp_path / "lock"
    lock.write_text("pid 5 on node2 since 2026-01-01T00:00:00+00:00, Slurm job 17 2.0\n")
    for end in ("", "ended\n"):
        lock.write_text(lock.read_text() + end)
        with pytest.raises(ClusterError, match=r"taken over by a later start .*17 2\.0"):
            begin(tmp_path, environment)
    assert (tmp_path / "status").exists()
    for owner in ("Slurm job 17 1.4", "Slurm job 9 5.0", ""):
        lock.write_text(f"pid 5 on node2 since 2026-01-01T00:00:00+00:00, {owner}\n")
        (tmp_path / "status").mkdir(exist_ok=True)
        assert begin(tmp_path, environment) == 0
        assert not (tmp_path / "status").exists()


def test_the_command(tmp_path):
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trainer.submit.outcome", str(tmp_path), *words],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip

    assert ask("begin").stdout == "0\n"
    done = ask("--status=137", "--restart=0", "--max_restarts=3", "--first_step=0",
               "--is_time_over=false")  # fmt: skip
    assert done.stdout == "restart 1\n"
    assert "a worker was lost (status 137); all begin again from step 0" in done.stderr
    assert ask("--status=many").returncode == 2
