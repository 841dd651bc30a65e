"""Asynchronous training by real processes: chief, workers and parameter servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import ClusterError
from flowrate.records import read_json, read_json_lines
from trainer.config import TrainConfig
from trainer.distributed.parameter_server_cluster import join

ROOT = Path(__file__).resolve().parents[3]
FLAGS = (
    "--strategy=parameter_server", "--dataset=digits", "--model=mlp64", "--global_batch_size=32",
    "--seed=3", "--log_every_steps=50", "--bringup_timeout=120",
)  # fmt: skip
# Of 1,437 examples: 4 epochs of 44.9 steps.
EPOCHS, NUM_STEPS, NUM_TEST_EXAMPLES = 4, 180, 360
# Long enough to be disturbed.
NUM_LONG_STEPS = 2000
LONG = (
    *FLAGS, f"--steps={NUM_LONG_STEPS}", "--evaluate_every_steps=500",
    "--checkpoint_every_steps=100",
)  # fmt: skip
TIMEOUT_SECONDS = 240
TASKS = [("chief", 0), ("worker", 0), ("worker", 1), ("ps", 0)]


class Cluster:
    """A chief, two workers and a parameter server; leaves none of them behind."""

    def __init__(self, run_dir: Path, *flags: str):
        self.run_dir = run_dir
        self._flags = flags
        sockets = [socket.socket() for _ in TASKS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        self.addresses = {t: f"127.0.0.1:{s.getsockname()[1]}" for t, s in zip(TASKS, sockets)}
        for each in sockets:
            each.close()
        self.processes: dict[tuple[str, int], subprocess.Popen] = {}

    def __enter__(self) -> Cluster:
        for job, index in TASKS:
            self.start(job, index)
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
            process.stdout.close()

    def start(self, job: str, index: int) -> None:
        jobs: dict[str, list[str]] = {}
        for (name, _), address in self.addresses.items():
            jobs.setdefault(name, []).append(address)
        config = {"cluster": jobs, "task": {"type": job, "index": index}}
        self.processes[job, index] = subprocess.Popen(
            [sys.executable, "-m", "trainer.main", f"--run_dir={self.run_dir}", *self._flags],
            cwd=ROOT, env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def kill(self, job: str, index: int) -> None:
        process = self.processes[job, index]
        process.kill()
        process.communicate()

    def wait_for_step(self, step: int) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not any(row["step"] >= step for row in rows(self.run_dir, "train")):
            assert time.monotonic() < end
            assert self.processes["chief", 0].poll() is None, self.finish()
            time.sleep(0.05)

    def wait_for_phase(self, job: str, index: int, phase: str) -> None:
        """Waits until this process, not an earlier one in its place, is in a phase."""
        pid, end = self.processes[job, index].pid, time.monotonic() + TIMEOUT_SECONDS
        while True:
            status = read_json(self.run_dir / "status" / f"{job}-{index}.json")
            if (status["pid"], status["phase"]) == (pid, phase):
                return
            assert time.monotonic() < end
            time.sleep(0.1)

    def finish(self) -> dict[tuple[str, int], tuple[int, str]]:
        """Returns (exit status, output) of each task, once all have ended."""
        found = {}
        for task, process in self.processes.items():
            output = process.communicate(timeout=TIMEOUT_SECONDS)[0]
            found[task] = (process.returncode, output)
        return found


def rows(run_dir: Path, kind: str) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    found = read_json_lines(path) if path.exists() else []
    return [row for row in found if row["kind"] == kind]


def statuses(ends: dict) -> list[int]:
    return [ends[task][0] for task in TASKS]


def last_arrays(run_dir: Path) -> dict[str, np.ndarray]:
    newest = sorted((run_dir / "checkpoints").glob("ckpt-????????"))[-1]
    with np.load(newest / "arrays.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.slow
def test_it_learns_and_counts_every_step_and_example(tmp_path):
    flags = (f"--epochs={EPOCHS}", "--checkpoint_every_steps=60")
    with Cluster(tmp_path / "run", *FLAGS, *flags) as cluster:
        ends = cluster.finish()
    assert statuses(ends) == [0, 0, 0, 0], ends
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "completed"
    assert result["global_step"] == NUM_STEPS
    assert result["test_examples"] == NUM_TEST_EXAMPLES
    assert result["test_accuracy"] > 0.8
    assert [row["step"] for row in rows(tmp_path / "run", "train")] == [50, 100, 150, NUM_STEPS]
    checkpoints = [row["step"] for row in rows(tmp_path / "run", "checkpoint")]
    # As the plan of any run has it, and the best evaluations besides.
    assert {60, 120, NUM_STEPS} <= set(checkpoints) <= {45, 60, 90, 120, 135, NUM_STEPS}
    assert last_arrays(tmp_path / "run")["optimizer/0000/iteration"] == NUM_STEPS
    assert (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize(("num_draws", "balance"), [(0, False), (3, False), (0, True)])
def test_the_steps_see_the_examples_in_the_order_of_any_run(tf, num_draws, balance):
    from input_pipelines.balanced_order import Classes
    from input_pipelines.order import example_indices
    from trainer.data import load_data
    from trainer.parameter_server.engine import batches

    config = TrainConfig(global_batch_size=100, seed=3, balance=balance)
    source = load_data(config).sources["train"]
    numbers, draws = zip(*batches(config, source, 20, 300, num_draws))
    numbers = np.array(numbers[:280])
    np.testing.assert_array_equal(numbers[:, 0], np.arange(20, 300))
    expected = example_indices(2_000, 30_000, len(source), config.seed,
                               Classes.of(source.labels) if balance else None)  # fmt: skip
    np.testing.assert_array_equal(numbers[:, 1:].ravel(), expected)
    assert {draw.shape for draw in draws} == {(100, num_draws)}


@pytest.mark.slow
def test_without_updates_every_step_has_the_figures_of_one_process(tmp_path):
    """At a learning rate of 0 the order of the updates does not matter: all else must be equal."""
    flags = (
        "--dataset=digits", "--model=mlp64", "--global_batch_size=32", "--seed=3", "--epochs=2",
        "--optimizer=sgd", "--learning_rate=0", "--log_every_steps=1", "--augmentation=mixup,crop",
    )  # fmt: skip
    with Cluster(tmp_path / "run", "--strategy=parameter_server", *flags) as cluster:
        ends = cluster.finish()
    assert statuses(ends) == [0, 0, 0, 0], ends
    subprocess.run(
        [sys.executable, "-m", "trainer.main", f"--run_dir={tmp_path / 'alone'}", *flags],
        cwd=ROOT, check=True, capture_output=True, timeout=TIMEOUT_SECONDS,
    )  # fmt: skip
    for kind, names in (("train", ("step", "loss", "accuracy", "gradient_norm", "learning_rate")),
                        ("evaluation", ("step", "loss", "accuracy", "examples"))):  # fmt: skip
        found, expected = (
            [[row[name] for name in names] for row in rows(tmp_path / folder, kind)]
            for folder in ("run", "alone")
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_lost_worker_that_comes_back_takes_part_again(tmp_path):
    run_dir = tmp_path / "run"
    with Cluster(run_dir, *LONG) as cluster:
        cluster.wait_for_step(200)
        cluster.kill("worker", 1)
        cluster.start("worker", 1)
        cluster.wait_for_phase("worker", 1, "serve")
        cluster.wait_for_step(rows(run_dir, "train")[-1]["step"] + 300)
        cluster.kill("worker", 0)  # From here on only the one that was lost can train.
        del cluster.processes["worker", 0]
        ends = cluster.finish()
    assert [exit_code for exit_code, _ in ends.values()] == [0, 0, 0], ends
    result = read_json(run_dir / "result.json")
    assert result["global_step"] == NUM_LONG_STEPS
    assert result["test_accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_lost_parameter_server_ends_the_run_and_is_named(tmp_path, number):
    with Cluster(tmp_path / "run", *LONG) as cluster:
        cluster.wait_for_step(200)
        lost = cluster.processes.pop(("ps", 0))
        try:
            lost.send_signal(number)
            ends = cluster.finish()
        finally:
            lost.kill()
            lost.communicate()
    assert [exit_code for exit_code, _ in ends.values()] == [144, 144, 144], ends
    for _, output in ends.values():
        assert f"lost ps 0 ({cluster.addresses['ps', 0]}): " in output
        assert "Traceback" not in output


@pytest.mark.slow
def test_the_chief_saves_by_the_clock_when_no_step_is_under_way(tmp_path):
    run_dir = tmp_path / "run"
    flags = (*FLAGS, "--steps=8000", "--evaluate_every_steps=8000")
    with Cluster(run_dir, *flags) as cluster:
        ends = cluster.finish()
    assert statuses(ends) == [0, 0, 0, 0], ends
    saved = [row["step"] for row in rows(run_dir, "checkpoint")]
    assert len(saved) > 1
    for step in saved[-3:]:
        path = run_dir / "checkpoints" / f"ckpt-{step:08d}" / "arrays.npz"
        with np.load(path, allow_pickle=False) as archive:
            assert archive["optimizer/0000/iteration"] == step


@pytest.mark.slow
def test_a_lost_chief_leaves_nobody_behind(tmp_path):
    with Cluster(tmp_path / "run", *LONG) as cluster:
        cluster.wait_for_step(100)
        cluster.kill("chief", 0)
        del cluster.processes["chief", 0]
        ends = cluster.finish()
    assert [exit_code for exit_code, _ in ends.values()] == [144, 144, 144], ends
    for _, output in ends.values():
        assert f"lost chief ({cluster.addresses['chief', 0]}): no sign of life" in output


@pytest.mark.slow
@pytest.mark.parametrize("task", [("chief", 0), ("ps", 0)], ids=["chief", "ps"])
def test_a_signal_to_any_task_saves_and_the_run_goes_on_from_there(tmp_path, task):
    run_dir = tmp_path / "run"
    with Cluster(run_dir, *LONG) as cluster:
        cluster.wait_for_step(200)
        cluster.processes[task].send_signal(signal.SIGTERM)
        ends = cluster.finish()
    assert statuses(ends) == [143, 143, 143, 143], ends
    _, chiefs_output = ends["chief", 0]
    step = int(chiefs_output.split("preempted at step ")[1].split(",")[0])
    assert rows(run_dir, "checkpoint")[-1]["step"] == step
    assert last_arrays(run_dir)["optimizer/0000/iteration"] == step
    with Cluster(run_dir, *LONG) as cluster:
        ends = cluster.finish()
    assert statuses(ends) == [0, 0, 0, 0], ends
    assert f"resumed from step {step:,} (checkpoint of " in ends["chief", 0][1]
    assert read_json(run_dir / "result.json")["global_step"] == NUM_LONG_STEPS
    steps = [row["step"] for row in rows(run_dir, "train")]
    assert steps == list(range(50, NUM_LONG_STEPS + 1, 50))


@pytest.mark.slow
def test_the_launcher_starts_a_lost_worker_again_by_itself(tmp_path):
    run_dir = tmp_path / "run"
    # Enough of them that three starts of a worker on a busy machine fall among them.
    num_steps = 3 * NUM_LONG_STEPS
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.launch", "--workers=2", "--ps=2", "--",
         f"--run_dir={run_dir}", *LONG, f"--steps={num_steps}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    killed: list[int] = []
    try:
        # Each time it is back and steps go on: some were done by it, and their figures not told.
        for number in range(3):
            pid = wait_for_worker(process, run_dir, 200 * (number + 1), killed)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        output = process.communicate(timeout=TIMEOUT_SECONDS)[0]
    finally:
        process.terminate()
    assert process.returncode == 0, output
    assert output.count("[launch] worker 1 ended with status 137; it is started again") == 3
    assert "resumed" not in output
    result = read_json(run_dir / "result.json")
    assert (result["num_workers"], result["num_replicas"]) == (2, 2)
    assert result["global_step"] == num_steps
    for name in ("chief", "worker-0", "worker-1", "ps-0", "ps-1"):
        assert (run_dir / "logs" / f"{name}.log").exists()


def wait_for_worker(process: subprocess.Popen, run_dir: Path, step: int, killed: list[int]) -> int:
    """Returns the process id of worker 1, a new one, once the run has come to this step."""
    while True:
        assert process.poll() is None, process.communicate()[0]
        path = run_dir / "status" / "worker-1.json"
        status = read_json(path) if path.exists() else {}
        is_there = status.get("phase") == "serve" and status["pid"] not in killed
        if is_there and any(row["step"] >= step for row in rows(run_dir, "train")):
            return status["pid"]
        time.sleep(0.05)


def refused(tmp_path: Path, **variables: str) -> str:
    """The only line of a start that ends with status 4."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer.main", f"--run_dir={tmp_path / 'run'}", *FLAGS],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_without_a_cluster_it_says_how_to_start(tmp_path):
    line = refused(tmp_path)
    assert "scripts/launch --workers=2 --ps=1 -- --strategy=parameter_server" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({"chief": ["a:1"], "worker": ["b:1"]}, 'no job "ps"'),
        ({"worker": ["a:1"], "ps": ["b:1"]}, 'no job "chief"'),
        ({"chief": ["a:1"], "worker": ["b:1"], "ps": ["c"]}, "'c' is not an address"),
        ({"chief": ["a:1"], "worker": ["a:1"], "ps": ["c:1"]}, "more than one worker"),
        ({"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"], "evaluator": []}, '"evaluator"'),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(cluster, words):
    text = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
    with pytest.raises(ClusterError, match=re.escape(words)):
        join({"TF_CONFIG": text})


def test_each_task_knows_itself_and_the_workers_of_its_machine():
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1", "b:2"], "ps": ["a:2", "d:1"]}
    found = {}
    for job, addresses in cluster.items():
        for index in range(len(addresses)):
            task = {"type": job, "index": index}
            joined = join({"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})
            assert joined.jobs() == cluster
            found[joined.name(joined.index)] = (
                joined.address, joined.local_index, joined.num_local,
            )  # fmt: skip
    assert found == {
        "chief": ("a:1", 0, 1),
        "worker 0": ("b:1", 0, 2), "worker 1": ("c:1", 0, 1), "worker 2": ("b:2", 1, 2),
        "ps 0": ("a:2", 0, 1), "ps 1": ("d:1", 0, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers=2", "--", "--strategy=parameter_server"], "give --ps=1 before `--`"),
        (["--ps=1", "--", "--dataset=digits"], "--ps=1: parameter servers are of use with"),
    ],
)
def test_the_launcher_wants_parameter_servers_for_them_alone(words, message):
    done = subprocess.run(
        [sys.executable, "-m", "trainer.launch", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
