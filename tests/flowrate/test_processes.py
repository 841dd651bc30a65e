"""Children: ended with what started them, heard whoever reads, and told apart by how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flowrate import processes

ROOT = Path(__file__).resolve().parents[2]
# Says its number, and on SIGTERM leaves a file.
SAVES = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1], "ready").touch()
time.sleep(600)
"""
# Starts another in a session of its own, and waits.
STARTS = """
import pathlib, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
)
pathlib.Path(sys.argv[1], "pid").write_text(str(child.pid))
time.sleep(float(sys.argv[2]))
"""


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, words)]


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_parent_its_child_saves_and_ends(tmp_path, number):
    parent = subprocess.Popen(
        python(
            # Under nohup SIGHUP is ignored, here too.
            "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
            "from flowrate import processes; processes.run(sys.argv[1:], timeout_seconds=600)",
            *python(SAVES, tmp_path),
        ),
        cwd=ROOT,
    )
    wait_until((tmp_path / "ready").exists)
    [child] = processes.descendants(parent.pid)
    parent.send_signal(number)
    parent.wait()
    wait_until((tmp_path / "saved").exists)
    wait_until(lambda: not is_alive(child.pid))


def test_a_child_whose_parent_is_gone_already_does_not_begin(tmp_path):
    done = subprocess.run(
        [sys.executable, str(processes._TIE), "1", *python(SAVES, tmp_path)], timeout=60
    )
    assert done.returncode == 143
    assert not (tmp_path / "ready").exists()


def test_how_a_child_ended_and_what_it_said():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    ended = processes.run(python(code), timeout_seconds=60, stderr=subprocess.PIPE)
    assert (ended.exit_code, ended.output, ended.errors) == (3, "out\n", "err\n")
    assert ended.how() == "ended with status 3"
    ended = processes.run(python(code), timeout_seconds=60)
    assert sorted(ended.output.split()) == ["err", "out"]
    ended = processes.run(python("import os; os.kill(os.getpid(), 9)"), timeout_seconds=60)
    assert ended.how() == "was killed by SIGKILL"
    assert processes.run(["/nowhere/program"], timeout_seconds=60).exit_code == 127


def test_when_the_time_is_up_it_may_save_and_all_it_started_is_ended(tmp_path):
    ended = processes.run(python(SAVES, tmp_path), timeout_seconds=2, grace_seconds=60)
    assert (ended.exit_code, ended.how()) == (None, "did not end in time")
    assert (tmp_path / "saved").exists()
    processes.run(python(STARTS, tmp_path, 600), timeout_seconds=2)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_alive(pid))


def test_it_is_ended_where_its_watcher_says_so(tmp_path):
    seen = []

    def should_end(pid: int) -> bool:
        seen.append(pid)
        return (tmp_path / "ready").exists()

    ended = processes.run(python(SAVES, tmp_path), timeout_seconds=600, should_end=should_end)
    assert ended.exit_code is None
    assert not is_alive(seen[0])


def test_what_a_child_leaves_behind_is_not_waited_for():
    """It holds the pipe open, in the child's own session."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    ended = processes.run(python(code, "import time; time.sleep(600)"), timeout_seconds=300)
    assert ended.exit_code == 0


@pytest.mark.parametrize(("text", "expected"), [("", ""), ("\n \n", ""), ("one\n  two\n\n", "two")])
def test_last_line(text, expected):
    assert processes.last_line(text) == expected


def test_the_failures_of_a_group_in_their_order(tmp_path, capfd):
    later = "import time; time.sleep(1); print('half', end=''); raise SystemExit(144)"
    with processes.Group(tmp_path / "logs") as group:
        group.start("worker 0", python(later), {})
        group.start("worker 1", python("import os, sys; sys.exit(os.environ['WORD'])"),
                    {"WORD": "no\nmore"})  # fmt: skip
        group.start("worker 2", python("pass"), {})
        assert group.wait() == [("worker 1", 1), ("worker 0", 144)]
        group.say("[launch] that was all.")
    assert (tmp_path / "logs" / "worker-1.log").read_text() == "no\nmore\n"
    assert capfd.readouterr().out.splitlines() == [
        "[worker 1] no", "[worker 1] more", "[worker 0] half", "[launch] that was all.",
    ]  # fmt: skip


def test_those_that_do_not_leave_after_a_failure_are_ended(tmp_path):
    with processes.Group(tmp_path, leave_seconds=0.5, grace_seconds=0.5) as group:
        stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
        group.start("stubborn", python(stubborn), {})
        group.start("stopped", python("import os; os.kill(os.getpid(), 19)"), {})
        group.start("failing", python("raise SystemExit(5)"), {})
        failures = group.wait()
    assert failures[0] == ("failing", 5)
    assert sorted(failures[1:]) == [("stopped", 137), ("stubborn", 137)]


GROUP = f"""
import pathlib, sys
from flowrate import processes
folder = pathlib.Path(sys.argv[1])
with processes.Group(folder) as group, processes.stop_signals(group.send):
    group.start("worker 0", [sys.executable, "-c", {SAVES!r}, str(folder)], {{}})
    group.start("worker 1", [sys.executable, "-c", "print('x' * 10**6)"], {{}})
    failures = group.wait()
(folder / "failures").write_text(repr(failures))
"""


@pytest.mark.parametrize("reader", ["stalls", "has left"])
def test_no_output_holds_up_a_child_or_its_supervisor(tmp_path, reader):
    process = subprocess.Popen(python(GROUP, tmp_path), cwd=ROOT, stdout=subprocess.PIPE)
    if reader == "has left":
        process.stdout.close()
    wait_until((tmp_path / "ready").exists)
    log = tmp_path / "worker-1.log"
    wait_until(lambda: log.exists() and log.stat().st_size == 10**6 + 1)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "saved").exists()
    assert "('worker 0', 143)" in (tmp_path / "failures").read_text()
    process.stdout.close()


def test_signals_are_heard_within_the_block_alone():
    before = [signal.getsignal(number) for number in processes._STOPPING]
    seen = []
    with processes.stop_signals(seen.append):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert seen == [signal.SIGTERM, signal.SIGINT]
    assert [signal.getsignal(number) for number in processes._STOPPING] == before
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # As nohup does.
    try:
        with processes.stop_signals(seen.append):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert len(seen) == 2
