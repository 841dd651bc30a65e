"""Jobs on a real Slurm: to the end, saved before the limit, preempted, cancelled, cut off."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flowrate.records import read_json, read_json_lines
from trainer.submit import slurm
from trainer.submit.config import SubmitConfig
from trainer.submit.job import plan_job

# Several starts of two workers, on a machine that does other things too.
pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[3]
LONG = (
    "--dataset=digits", "--model=mlp64", "--global_batch_size=32", "--steps=3000",
    "--log_every_steps=50", "--evaluate_every_steps=1000", "--checkpoint_every_steps=250",
    "--steps_per_call=10", "--seed=3",
)  # fmt: skip
TWO_NODES = ("--cluster=slurm", "--nodes=2", "--time=10")
HOSTILE = '$(touch pwned) `touch pwned`; \'a "b" é'


def job_of(run_dir: Path) -> str:
    return read_json(run_dir / "job.json")["job_id"]


def log_of(run_dir: Path) -> str:
    return "".join(path.read_text() for path in sorted(run_dir.glob("logs/slurm-*.log")))


def rows(run_dir: Path, kind: str) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    found = read_json_lines(path) if path.exists() else []
    return [row for row in found if row["kind"] == kind]


def wait_for_step(lab, run_dir: Path, step: int) -> None:
    end = time.monotonic() + 200
    while not any(row["step"] >= step for row in rows(run_dir, "train")):
        assert time.monotonic() < end, log_of(run_dir)
        assert lab.facts(job_of(run_dir))["JobState"] in ("PENDING", "RUNNING"), log_of(run_dir)
        time.sleep(0.1)


def assert_same_bits(run_dir: Path, reference: Path) -> None:
    """The same curve and the same weights, as if nothing had happened."""
    names = ("step", "loss", "accuracy", "gradient_norm")
    curves = [
        [[row[name] for name in names] for row in rows(each, "train")]
        for each in (run_dir, reference)
    ]
    assert curves[0] == curves[1]
    newest = [
        sorted((each / "checkpoints").glob("ckpt-????????"))[-1] for each in (run_dir, reference)
    ]
    with np.load(newest[0] / "arrays.npz") as found, np.load(newest[1] / "arrays.npz") as expected:
        assert set(found.files) == set(expected.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(lab, tmp_path_factory) -> Path:
    """A job of two nodes that nothing interrupts."""
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    lab.submit(*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    assert lab.wait_for_end(job_of(run_dir))["JobState"] == "COMPLETED", log_of(run_dir)
    return run_dir


@pytest.mark.slow
def test_two_nodes_to_the_end(lab, undisturbed):
    result = read_json(undisturbed / "result.json")
    assert result["status"] == "completed"
    assert result["num_replicas"] == 2
    statuses = [read_json(undisturbed / "status" / f"worker-{i}.json") for i in range(2)]
    assert [status["host"] for status in statuses] == ["node1", "node2"]
    shown = lab.submit("status", str(undisturbed)).stdout
    assert "COMPLETED" in shown
    assert "completed" in shown
    assert "step 3,000/3,000" in lab.submit("logs", str(undisturbed)).stdout


@pytest.mark.slow
def test_before_the_time_limit_it_saves_and_goes_on_in_a_further_job(lab, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    lab.submit(*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    wait_for_step(lab, run_dir, 300)
    # What Slurm sends before the limit.
    lab.run("scancel", "--batch", "--signal=USR1", job_of(run_dir))
    lab.wait_for_state(job_of(run_dir), "PENDING")
    facts = lab.wait_for_end(job_of(run_dir))
    assert facts["JobState"] == "COMPLETED", log_of(run_dir)
    assert facts["Restarts"] == "1"
    log = log_of(run_dir)
    assert "preempted at step" in log
    assert "[job] the time is over; saved at step" in log
    assert_same_bits(run_dir, undisturbed)


@pytest.mark.slow
def test_preempted_by_a_more_important_job(lab, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    lab.submit(*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    wait_for_step(lab, run_dir, 300)
    important = lab.run(
        "sbatch", "--parsable", "--partition=high", "--nodes=3", "--exclusive", "--wrap=sleep 1",
        "--output=/dev/null",
    ).stdout.strip()  # fmt: skip
    assert lab.wait_for_end(important)["JobState"] == "COMPLETED"
    facts = lab.wait_for_end(job_of(run_dir))
    assert facts["JobState"] == "COMPLETED", log_of(run_dir)
    assert facts["Restarts"] == "1"
    assert "preempted at step" in log_of(run_dir)
    assert_same_bits(run_dir, undisturbed)


@pytest.mark.slow
def test_cancelled_it_saves_and_the_same_command_goes_on(lab, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    command = (*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    lab.submit(*command)
    again = lab.submit(*command, check=False)
    assert again.returncode == 2
    assert "is not over" in again.stderr
    wait_for_step(lab, run_dir, 300)
    lab.submit("cancel", str(run_dir))
    facts = lab.wait_for_end(job_of(run_dir))
    assert facts["JobState"] == "CANCELLED"
    end = time.monotonic() + 60  # The state is given before the workers have ended.
    while "preempted at step" not in log_of(run_dir):
        assert time.monotonic() < end, log_of(run_dir)
        time.sleep(0.2)
    lab.submit(*command)
    assert lab.wait_for_end(job_of(run_dir))["JobState"] == "COMPLETED", log_of(run_dir)
    assert_same_bits(run_dir, undisturbed)


@pytest.mark.slow
def test_a_worker_killed_is_named_and_all_begin_again_in_the_job(lab, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    lab.submit(*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    wait_for_step(lab, run_dir, 300)
    pid = read_json(run_dir / "status" / "worker-1.json")["pid"]
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    facts = lab.wait_for_end(job_of(run_dir))
    assert facts["JobState"] == "COMPLETED", log_of(run_dir)
    log = log_of(run_dir)
    assert "lost worker 1 (node2:" in log
    assert re.search(
        r"\[job\] a worker was lost .*; all begin again from step \d+, restart 1 of 3", log
    )
    assert_same_bits(run_dir, undisturbed)


@pytest.mark.slow
def test_a_node_cut_off_does_not_write_into_the_run_that_went_on_elsewhere(
    separate_lab, undisturbed, tmp_path
):
    lab, run_dir = separate_lab, tmp_path / "run"
    lab.submit(*TWO_NODES, "--", *LONG, f"--run_dir={run_dir}")
    wait_for_step(lab, run_dir, 300)
    node = int(lab.facts(job_of(run_dir))["BatchHost"].removeprefix("node"))
    pid = read_json(run_dir / "status" / "worker-0.json")["pid"]
    lab.cut(node)
    try:
        facts = lab.wait_for_end(job_of(run_dir))
    finally:
        lab.heal(node)
    assert facts["JobState"] == "COMPLETED", log_of(run_dir)
    assert facts["Restarts"] == "1"
    assert f"node{node}" not in facts["NodeList"]
    assert_same_bits(run_dir, undisturbed)
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.slow
def test_gpus_of_a_node_are_shared_out(lab, tmp_path):
    run_dir = tmp_path / "run"
    lab.submit(
        "--cluster=slurm", "--nodes=1", "--tasks_per_node=2", "--gpus_per_node=2", "--time=10",
        "--", "--dataset=digits", "--model=mlp64", "--steps=20", f"--run_dir={run_dir}",
    )  # fmt: skip
    assert lab.wait_for_end(job_of(run_dir))["JobState"] == "COMPLETED", log_of(run_dir)
    statuses = [read_json(run_dir / "status" / f"worker-{i}.json") for i in range(2)]
    assert [status["cuda_visible_devices"] for status in statuses] == ["0", "1"]


@pytest.mark.slow
def test_a_sweep_is_an_array_with_one_table_at_the_end(lab, tmp_path):
    run_dir = tmp_path / "sweep"
    lab.submit(
        "--cluster=slurm", "--time=10", "--sweep=seed=1..2", "--sweep=learning_rate=0.001,0.01",
        "--", "--dataset=digits", "--model=mlp64", "--steps=50", f"--run_dir={run_dir}",
    )  # fmt: skip
    end = time.monotonic() + 240
    while "COMPLETED" not in (shown := lab.submit("status", str(run_dir)).stdout) or any(
        state in shown for state in ("PENDING", "RUNNING", "COMPLETING")
    ):
        assert time.monotonic() < end, shown
        time.sleep(1)
    assert shown.count("completed") == 4, shown
    table = (run_dir / "sweep.csv").read_text().splitlines()
    assert table[0].startswith("run,seed,learning_rate,status,global_step,test_accuracy")
    assert len(table) == 5
    assert all(",completed,50," in line for line in table[1:])


def test_a_partition_that_is_not_there(lab, tmp_path):
    done = lab.submit(
        "--cluster=slurm", "--partition=nowhere", "--", f"--run_dir={tmp_path / 'run'}", check=False
    )
    assert done.returncode == 4
    assert re.match(r"error: sbatch: .*[Ii]nvalid partition", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_lets_slurm_check_and_submits_nothing(lab, tmp_path):
    run_dir = tmp_path / "run"
    done = lab.submit(*TWO_NODES, "--dry_run", "--", *LONG, f"--run_dir={run_dir}")
    assert "to start at" in done.stdout
    assert (run_dir / "job.sh").exists()
    assert not (run_dir / "job.json").exists()
    assert str(run_dir) not in lab.run("squeue", "--format=%o").stdout


@pytest.mark.slow
def test_a_hostile_name_is_a_name(lab, tmp_path):
    run_dir = tmp_path / HOSTILE
    lab.submit(
        "--cluster=slurm", "--time=10", "--", "--dataset=digits", "--model=mlp64", "--steps=20",
        f"--run_dir={run_dir}",
    )  # fmt: skip
    assert lab.wait_for_end(job_of(run_dir))["JobState"] == "COMPLETED", log_of(run_dir)
    assert read_json(run_dir / "result.json")["status"] == "completed"
    assert not list(tmp_path.rglob("pwned"))
    assert not (lab.base / "pwned").exists()


def test_what_the_trainer_would_refuse_is_refused_before(tmp_path):
    def submit(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trainer.submit.main", *words], cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        )  # fmt: skip

    for words, message in (
        (["--cluster=slurm", "--", "--epoch=1"], "Did you mean 'epochs'?"),
        (["--cluster=slurm", "--nodes=3", "--"], "does not divide among 3"),
        (["--cluster=slurm", "--", "--run_dir", "x"], "write every flag as --name=value"),
        (["--cluster=slurm", "--", "--run_dir=a\nb"], "line break"),
        (["--cluster=slurm", "--nodes=2", "--", "--strategy=mirrored"], "--strategy=multi_worker"),
        (["--cluster=slurm", "--sweep=seeds=1..2", "--"], "Did you mean 'seed'?"),
        (["--cluster=slurm", "--", "benchmarks.main", "run", "--suite=nothing", "--output=o"],
         "nothing"),
        (["--cluster=slurm", "--", "--run_dir=runs/%j"], "part of a pattern"),
        (["--", "--dataset=mnist"], "--cluster=NAME is needed"),
        (["--cluster=slurm", "--dataset=mnist"], "after `--`"),
        (["statu", "x"], "choose from status, logs, cancel"),
        (["status"], "one run directory is needed"),
    ):  # fmt: skip
        done = submit(*words)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert submit("status", "nowhere").returncode == 5
    without_slurm = submit("--cluster=slurm", "--", "--run_dir=run")
    assert without_slurm.returncode == 4 or "sbatch" not in without_slurm.stderr
    assert list(tmp_path.glob("[!r]*")) == []


@pytest.mark.parametrize("name", ["plain", HOSTILE])
def test_the_job_file_is_a_script_that_names_what_it_runs(tmp_path, name):
    config = SubmitConfig(cluster="slurm", nodes=2, gpus_per_node=4, cpus_per_task=8, memory="64G",
                          time="1-00", partition="gpu", account="lab")  # fmt: skip
    flags = ["--dataset=digits", "--global_batch_size=64", f"--run_dir={tmp_path / name}"]
    text = slurm.render(plan_job(config, flags, tmp_path))
    options = re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE)
    assert {"--nodes=2", "--gres=gpu:4", "--cpus-per-task=8", "--mem=64G", "--time=1-00",
            "--partition=gpu", "--account=lab", "--requeue"} <= set(options)  # fmt: skip
    assert all(re.fullmatch(r"--[\w-]+(=[\w.:@/%-]+)?", option) for option in options)
    path = tmp_path / "job.sh"
    path.write_text(text)
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode == 0
    # What the shell makes of the flags, without running anything.
    flags_block = text[text.index("flags=(") : text.index("\n)\n") + 3]
    shown = subprocess.run(
        ["bash", "-c", flags_block + 'printf "%s\\0" "${flags[@]}"'], capture_output=True, text=True
    ).stdout.split("\0")[:-1]
    assert shown[-1] == f"--run_dir={tmp_path / name}"
    assert "--strategy=multi_worker_mirrored" in shown
