"""Programs as several workers: told of each other, ended together, their last words kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import namespaces
from benchmarks.measure.worker_group import last_words, run_group
from flowrate.errors import ClusterError

ROOT = Path(__file__).resolve().parents[3]
# A worker's program: each writes where it is told to be, to a file of its own.
PROGRAM = """
import json, os, pathlib, socket, sys
config = json.loads(os.environ["TF_CONFIG"])
index, addresses = config["task"]["index"], config["cluster"]["worker"]
server = socket.create_server(tuple([addresses[index].split(":")[0], 0]))
pathlib.Path(sys.argv[1], f"{index}.txt").write_text(addresses[index])
if sys.argv[2:] == [str(index)]:
    print("all is well so far")
    sys.exit("error: there is no such thing.")
"""


@pytest.fixture
def program(tmp_path, monkeypatch) -> str:
    """A module of our own that the workers can import."""
    (tmp_path / "said_by_workers.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return "said_by_workers"


def test_workers_know_each_other(program, tmp_path, capsys):
    run_group([program, str(tmp_path)], tmp_path, 3)
    addresses = [(tmp_path / f"{index}.txt").read_text() for index in range(3)]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_worker_that_fails_is_named_with_its_last_words(program, tmp_path, capsys):
    with pytest.raises(ClusterError, match=r"^worker 1 ended with status 1: error: there is no"):
        run_group([program, str(tmp_path), "1"], tmp_path, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "nothing was said"),
        ("\n \n", "nothing was said"),
        ("one\n  two\n\n", "two"),
        ("error: first\nerror: second\nand a bar\n", "error: second"),
    ],
)
def test_last_words(text, expected):
    assert last_words(text) == expected


@pytest.fixture
def _virtual_hosts():
    if reason := namespaces.why_none():
        pytest.skip(reason)


def names() -> list[str]:
    return [line for line in namespaces._ip("netns", "list").splitlines() if "flowrate" in line]


@pytest.mark.usefixtures("_virtual_hosts")
def test_virtual_hosts_reach_each_other_and_leave_nothing(program, tmp_path, capsys):
    before = names()
    run_group([program, str(tmp_path)], tmp_path, 2, "namespaces")
    addresses = [(tmp_path / f"{index}.txt").read_text() for index in range(2)]
    assert [address.split(":")[0] for address in addresses] == ["198.18.0.1", "198.18.0.2"]
    with namespaces.virtual_hosts(2) as hosts:
        listen = (
            "import socket; server = socket.create_server(('', 4000));"
            "print(0, flush=True); server.accept()"
        )
        server = subprocess.Popen(
            [*hosts[0].command, sys.executable, "-c", listen], stdout=subprocess.PIPE
        )
        server.stdout.readline()
        call = f"import socket; socket.create_connection(({hosts[0].address!r}, 4000), 20)"
        subprocess.run([*hosts[1].command, sys.executable, "-c", call], check=True, timeout=60)
        assert server.wait(timeout=30) == 0
        server.stdout.close()
    assert names() == before


@pytest.mark.usefixtures("_virtual_hosts")
def test_what_a_killed_process_left_is_taken_away():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    abandoned = f"flowrate-{process.pid}-hub"
    namespaces._ip("netns", "add", abandoned)
    with namespaces.virtual_hosts(1):
        assert not any(abandoned in name for name in names())


def test_without_root_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert namespaces.why_none() == "network namespaces need root"


def test_without_the_program_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces, "_path", lambda program: None)
    assert "`ip`" in namespaces.why_none()


def test_a_measurement_leaves_the_signals_as_they_are(program, tmp_path, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_group([program, str(tmp_path)], tmp_path, 1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
