"""`python -m trainer.doctor` as a process, on this machine and in environments that are broken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from input_pipelines.datasets import DATASETS
from trainer.doctor.command import run

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = ["machine", "packages", "GPU", "cluster", "data sets"]
VERDICTS = {"ok", "warning", "failed", "absent"}


@pytest.fixture(scope="module")
def healthy(examine):
    return examine(TF_CONFIG=None)


def test_what_is_needed_is_found(healthy):
    for key in (
        ("machine", "Python"), ("machine", "memory"),
        ("packages", "TensorFlow"), ("data sets", "digits"), ("data sets", "synthetic"),
    ):  # fmt: skip
        assert healthy[key]["verdict"] == "ok", healthy[key]
    assert healthy["packages", "TensorFlow"]["facts"]["version"].startswith("2.")
    assert healthy["data sets", "digits"]["facts"]["examples"] == {"train": 1437, "test": 360}
    assert healthy["machine", "memory"]["facts"]["available_bytes"] > 0


def test_the_record_is_what_is_documented(healthy):
    assert healthy.record["schema_version"] == 1
    assert list(dict.fromkeys(each["section"] for each in healthy.record["checks"])) == SECTIONS
    fields = ["section", "name", "verdict", "found", "to_do", "facts"]
    for check in healthy.record["checks"]:
        assert set(check) == set(fields)
        assert check["verdict"] in VERDICTS
        assert check["found"]
        if check["verdict"] in ("warning", "failed"):
            assert check["to_do"], check
    assert len(healthy.checks) == len(healthy.record["checks"])
    text = (ROOT / "docs" / "records.md").read_text()
    for field in (*fields, "schema_version", "exit_code", "checks"):
        assert f"`{field}`" in text


def test_the_exit_status_says_whether_something_failed(healthy):
    failed = [each for each in healthy.record["checks"] if each["verdict"] == "failed"]
    assert healthy.status == healthy.record["exit_code"] == (4 if failed else 0)
    assert bool(healthy.errors) == bool(failed)


def test_every_data_set_is_looked_for(healthy):
    looked_for = [name for section, name in healthy.checks if section == "data sets"]
    assert looked_for == [name for name in DATASETS.names() if name not in DATASETS.families]


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", ["killed by SIGILL"]),
        ("raise ImportError('libcudart.so.99: cannot open')", ["status 1", "libcudart.so.99"]),
    ],
    ids=["killed", "raises"],
)
def test_a_broken_tensorflow_is_a_finding_not_an_end(examine, tmp_path, ending, words):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(ending)
    done = examine(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    check = done["packages", "TensorFlow"]
    assert check["verdict"] == "failed"
    for word in words:
        assert word in check["found"]
    assert check["to_do"]
    assert done["data sets", "digits"]["verdict"] == "ok"
    assert done.status == 4
    assert done.errors.startswith("error: this machine cannot train as it should: packages, Tens")
    assert len(done.errors.splitlines()) == 1


def test_no_probe_is_tried_with_a_broken_tensorflow(run_doctor, tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("import os; os._exit(99)")
    done = run_doctor("--json", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 4
    (probe,) = [each for each in json.loads(done.stdout)["checks"] if each["section"] == "probes"]
    assert (probe["verdict"], probe["found"][:9]) == ("absent", "not tried")


def test_a_broken_environment_is_told_piece_by_piece(examine, unwritable_folder, tmp_path):
    """Everything at once: one finding must not hide another."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "mnist.npz", x_train=np.zeros(3))
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        config = {
            "cluster": {"worker": [address, "127.0.0.1:2"]},
            "task": {"type": "worker", "index": 0},
        }
        done = examine(
            f"--data_dir={tmp_path / 'data'}",
            PATH=str(tmp_path / "bin"), TMPDIR=str(unwritable_folder), TF_CONFIG=json.dumps(config),
            XDG_CACHE_HOME=str(unwritable_folder / "cache"),
        )  # fmt: skip
    assert done["machine", "disk for data"]["verdict"] == "warning"
    assert "XDG_CACHE_HOME" in done["machine", "disk for data"]["to_do"]
    assert done["cluster", "workers"]["verdict"] == "failed"
    assert "is in use" in done["cluster", "workers"]["found"]
    assert done["data sets", "mnist"]["verdict"] == "failed"
    assert "mnist.npz" in done["data sets", "mnist"]["found"]
    assert done["packages", "TensorFlow"]["verdict"] == "ok"
    assert done.status == 4
    assert "cluster, workers" in done.errors
    assert "data sets, mnist" in done.errors


def test_where_nothing_is_installed(run_doctor, bare_python):
    python = bare_python()
    done = run_doctor(python=python)
    assert done.returncode == 4, done.stderr
    assert "tensorflow" in done.stdout
    assert "pip install -e ." in done.stdout
    assert done.stderr.startswith("error: this machine cannot train as it should: packages, requi")
    assert len(done.stderr.splitlines()) == 1
    assert max(map(len, done.stdout.splitlines())) <= 80 + len(python)
    record = json.loads(run_doctor("--json", python=python).stdout)
    (required,) = [each for each in record["checks"] if each["name"] == "required"]
    assert required["facts"]["versions"]["tensorflow"] is None
    assert record["exit_code"] == 4


def test_where_only_tensorflow_is_not_installed(examine, bare_python):
    names = (
        "absl-py", "psutil", "packaging", "numpy", "scikit-learn", "rich", "pillow", "nvidia-ml-py"
    )  # fmt: skip
    done = examine(python=bare_python(*names))
    assert done["packages", "TensorFlow"]["found"] == "not installed"
    assert "tensorflow" in done["packages", "required"]["found"]
    assert "numpy" not in done["packages", "required"]["found"]
    assert done["machine", "memory"]["verdict"] == "ok"
    assert done["data sets", "digits"]["verdict"] == "ok"
    assert done.status == 4


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--probe=all"], 2, ["--probe=all: choose from quick, full, none"]),
        (["quick"], 2, ["'quick' stands alone"]),
        (["--jason"], 2, ["no such flag. Did you mean 'json'?"]),
        (["--data_dir=/nowhere"], 3, ["--data_dir=/nowhere does not exist"]),
    ],
)
def test_mistakes_at_the_command_line(capsys, flags, status, words):
    assert run(["doctor", *flags]) == status
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    for word in words:
        assert word in line


def test_help(capsys):
    assert run(["doctor", "--help"]) == 0
    assert "--probe_timeout" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    """While two workers train, each in a session of its own."""
    doctor = subprocess.Popen(
        [sys.executable, "-m", "trainer.doctor"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # What a shell starts in the background ignores SIGINT, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        workers = wait_for_workers(doctor.pid)
        doctor.send_signal(signal.SIGINT)
        output, errors = doctor.communicate(timeout=90)
    finally:
        doctor.kill()
    assert doctor.returncode == 130, output + errors
    assert errors == "stopped.\n"
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert list(tmp_path.iterdir()) == []


def wait_for_workers(pid: int) -> list[psutil.Process]:
    end = time.monotonic() + 200
    while time.monotonic() < end:
        started = psutil.Process(pid).children(recursive=True)
        workers = [each for each in started if "trainer.main" in " ".join(command(each))]
        if sum("--strategy=multi_worker_mirrored" in command(each) for each in workers) == 2:
            return started
        time.sleep(0.1)
    raise AssertionError("no two workers were started")


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
