"""Several real processes train one model: like one process, and to a common end.

Lost, missing and wrongly started workers are tried in tests/faults.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faults.tools.runs import final_arrays

from flowrate.records import read_json, read_json_lines
from trainer.distributed.process_group import free_ports

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--dataset=digits", "--model=mlp64", "--global_batch_size=32", "--steps=60",
    "--log_every_steps=1", "--evaluate_every_steps=20", "--checkpoint_every_steps=20", "--seed=3",
)  # fmt: skip
# Long enough to be disturbed, and watched while at it.
LONG = (
    "--dataset=digits", "--model=mlp64", "--global_batch_size=32", "--steps=3000",
    "--log_every_steps=50", "--evaluate_every_steps=500", "--checkpoint_every_steps=250",
    "--steps_per_call=10", "--seed=3",
)  # fmt: skip
TOLERANCE = 1e-5


def environment(addresses: list[str], index: int) -> dict[str, str]:
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config)}


def start_worker(run_dir: Path, addresses: list[str], index: int, *flags: str):
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.main", "--strategy=multi_worker_mirrored",
         f"--run_dir={run_dir}", *flags],
        cwd=ROOT, env=environment(addresses, index), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def start_workers(run_dir: Path, count: int, *flags: str) -> list[subprocess.Popen]:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [start_worker(run_dir, addresses, index, *flags) for index in range(count)]


def finish(workers: list[subprocess.Popen], timeout: float = 240) -> list[tuple[int, str]]:
    """Returns (exit status, output) of each; none is left behind."""
    try:
        outputs = [worker.communicate(timeout=timeout)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [(worker.returncode, output) for worker, output in zip(workers, outputs)]


def train(run_dir: Path, count: int, *flags: str) -> Path:
    for exit_code, output in finish(start_workers(run_dir, count, *flags)):
        assert exit_code == 0, output
    return run_dir


def train_alone(run_dir: Path, *flags: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "trainer.main", f"--run_dir={run_dir}", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return run_dir


def rows(run_dir: Path, kind: str) -> list[dict]:
    return [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == kind]


def assert_same_training(run_dir: Path, reference: Path) -> None:
    for kind in ("train", "evaluation"):
        found, expected = rows(run_dir, kind), rows(reference, kind)
        assert [row["step"] for row in found] == [row["step"] for row in expected]
        for row, other in zip(found, expected):
            for name in ("loss", "accuracy"):
                assert row[name] == pytest.approx(other[name], rel=TOLERANCE, abs=TOLERANCE), row
    arrays, expected = final_arrays(run_dir), final_arrays(reference)
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_allclose(arrays[name], expected[name], atol=TOLERANCE, err_msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The run of one process with one replica, that all others must equal."""
    return train_alone(tmp_path_factory.mktemp("alone") / "run", *FLAGS)


@pytest.mark.parametrize(
    ("num_workers", "num_replicas"),
    [
        (2, 1),
        pytest.param(2, 2, marks=pytest.mark.slow),
        pytest.param(4, 1, marks=pytest.mark.slow),
    ],
)
def test_workers_train_as_one_process_does(alone, tmp_path, num_workers, num_replicas):
    flags = (*FLAGS, f"--virtual_devices={num_replicas}") if num_replicas > 1 else FLAGS
    run_dir = train(tmp_path / "run", num_workers, *flags)
    assert_same_training(run_dir, alone)
    result = read_json(run_dir / "result.json")
    assert result["status"] == "completed"
    assert result["num_replicas"] == num_workers * num_replicas
    assert result["test_accuracy"] == read_json(alone / "result.json")["test_accuracy"]
    assert (run_dir / "model.keras").exists()
    statuses = [read_json(run_dir / "status" / f"worker-{i}.json") for i in range(num_workers)]
    assert [status["exit_code"] for status in statuses] == [0] * num_workers
    assert [status["step"] for status in statuses] == [60] * num_workers


@pytest.mark.slow
def test_workers_take_their_part_of_weighted_balanced_parts(tmp_path):
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({str(digit): digit + 0.5 for digit in range(10)}))
    flags = (*FLAGS, "--balance", f"--class_weights={weights}", "--gradient_accumulation=4",
             "--augmentation=mixup")  # fmt: skip
    assert_same_training(train(tmp_path / "run", 2, *flags), train_alone(tmp_path / "one", *flags))


@pytest.mark.slow
def test_the_best_weights_are_taken_back_by_all(tmp_path):
    flags = (
        "--dataset=digits", "--model=mlp64", "--validation_examples=200", "--steps=400",
        "--learning_rate=0.01", "--evaluate_every_steps=10", "--early_stopping_patience=2",
    )  # fmt: skip
    expected = read_json(train_alone(tmp_path / "alone", *flags) / "result.json")
    found = read_json(train(tmp_path / "run", 2, *flags) / "result.json")
    assert expected["global_step"] < 400
    assert found["global_step"] == expected["global_step"]
    assert found["best_evaluation"]["step"] == expected["best_evaluation"]["step"]
    assert found["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.003)


@pytest.mark.slow
def test_normalization_is_merged_over_workers_as_over_replicas(tmp_path):
    """Two workers are two replicas: each normalizes by its own rows, and what they have counted is
    averaged for evaluation and checkpoint.
    """
    flags = ("--dataset=digits", "--model=resnet18", "--steps=4", "--log_every_steps=1",
             "--optimizer=sgd")  # fmt: skip
    reference = train_alone(
        tmp_path / "alone", *flags, "--strategy=mirrored", "--virtual_devices=2"
    )
    run_dir = train(tmp_path / "run", 2, *flags)
    arrays, expected = final_arrays(run_dir), final_arrays(reference)
    assert any("moving" in name for name in arrays)
    for name in expected:
        np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-3, atol=1e-4, err_msg=name)
    ours, theirs = (read_json(each / "result.json") for each in (run_dir, reference))
    assert ours["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A long run of two workers that nothing interrupts."""
    return train(tmp_path_factory.mktemp("undisturbed") / "run", 2, *LONG)


def assert_same_bits(run_dir: Path, reference: Path) -> None:
    """As nobody had been stopped or lost: every logged figure and every weight."""
    for kind, names in (("train", ("step", "loss", "accuracy", "gradient_norm")),
                        ("evaluation", ("step", "loss", "accuracy"))):  # fmt: skip
        found, expected = (
            [[row[name] for name in names] for row in rows(each, kind)]
            for each in (run_dir, reference)
        )
        assert found == expected
    arrays, expected = final_arrays(run_dir), final_arrays(reference)
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)


def wait_for_step(run_dir: Path, step: int, workers: list[subprocess.Popen]) -> None:
    while not any(row["step"] >= step for row in _rows_so_far(run_dir)):
        for worker in workers:
            assert worker.poll() is None, worker.communicate()[0]
        time.sleep(0.05)


def _rows_so_far(run_dir: Path) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    return read_json_lines(path) if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("signalled", [0, 1])
def test_a_signal_to_one_worker_saves_all_at_one_step(undisturbed, tmp_path, signalled):
    run_dir = tmp_path / "run"
    workers = start_workers(run_dir, 2, *LONG)
    wait_for_step(run_dir, 300, workers)
    workers[signalled].send_signal(signal.SIGTERM)
    ends = finish(workers)
    assert [exit_code for exit_code, _ in ends] == [143, 143]
    steps = {output.split("preempted at step ")[1].split(",")[0] for _, output in ends}
    assert len(steps) == 1
    assert rows(run_dir, "checkpoint")[-1]["step"] == int(steps.pop())
    train(run_dir, 2, *LONG)
    assert_same_bits(run_dir, undisturbed)


@pytest.mark.slow
def test_workers_save_after_the_same_step_by_the_clock(tmp_path):
    """What the chief's clock says reaches all; the run goes on from there as if undisturbed."""
    flags = (*(flag for flag in LONG if "checkpoint" not in flag), "--steps=6000")
    reference = train(tmp_path / "reference", 2, *flags)
    run_dir = tmp_path / "run"
    workers = start_workers(run_dir, 2, *flags)
    while not rows(run_dir, "checkpoint"):
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.05)
    for worker in workers:
        worker.kill()
    finish(workers)
    saved = rows(run_dir, "checkpoint")[-1]["step"]
    (_, output), _ = finish(start_workers(run_dir, 2, *flags))
    assert f"resumed from step {saved:,} (" in output
    assert_same_bits(run_dir, reference)


@pytest.fixture
def slow_lane() -> Iterator[Path]:
    """A control group whose processes get a fifth of a CPU."""
    root = Path("/sys/fs/cgroup/cpu")
    if not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("this machine lets no control group of version 1 be made")
    group = root / f"flowrate-test-{os.getpid()}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text(str(20_000))
    yield group
    group.rmdir()


@pytest.mark.slow
def test_a_slow_worker_is_named(slow_lane, tmp_path):
    run_dir = tmp_path / "run"
    workers = start_workers(
        run_dir, 2, "--dataset=digits", "--model=cnn", "--global_batch_size=256",
        "--steps=1000000", "--log_every_steps=20",
    )  # fmt: skip
    try:
        wait_for_step(run_dir, 40, workers)
        (slow_lane / "cgroup.procs").write_text(str(workers[1].pid))
        end = time.monotonic() + 120
        seen = ""
        while "slower than the median" not in seen:
            assert time.monotonic() < end, seen
            seen += workers[0].stdout.readline()
        assert "warning: worker 1 (127.0.0.1:" in seen
        workers[0].send_signal(signal.SIGTERM)
        assert [exit_code for exit_code, _ in finish(workers)] == [143, 143]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


@pytest.mark.slow
def test_other_data_on_a_worker_are_refused(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    run_dir = tmp_path / "run"
    workers = [
        start_worker(run_dir, addresses, 0, *FLAGS),
        start_worker(run_dir, addresses, 1, *FLAGS, "--validation_examples=100"),
    ]
    (chief, chiefs_output), (other, output) = finish(workers)
    assert other == 3, output
    assert "differ from the chief's" in output
    assert chief == 144, chiefs_output
    assert "lost worker 1" in chiefs_output
    assert "differ from the chief's" in chiefs_output  # with its last words


def launch(run_dir: Path, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.launch", "--workers=2", "--", f"--run_dir={run_dir}",
         *flags],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def processes_of(run_dir: Path) -> list[int]:
    """The processes whose command line names this run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"--run_dir={run_dir}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_ctrl_c_saves_and_leaves_nothing_running(tmp_path):
    run_dir = tmp_path / "run"
    process = launch(run_dir, *LONG)
    wait_for_step(run_dir, 100, [process])
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    assert "preempted at step" in output
    assert rows(run_dir, "checkpoint")
    assert processes_of(run_dir) == []
