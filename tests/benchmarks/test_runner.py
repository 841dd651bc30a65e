"""The runner: order of repeats, rows as cases end, going on, failures, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks import runner
from benchmarks.case import BenchmarkCase
from benchmarks.machine import processes
from benchmarks.measure import RATE, worker
from benchmarks.records import check_row, read_records, read_results
from benchmarks.runner import Runner
from flowrate.errors import BusyMachineError
from flowrate.records import append_json_lines, read_json_lines

ROOT = Path(__file__).resolve().parents[2]


def case(name: str, **fields) -> BenchmarkCase:
    return BenchmarkCase(suite="throughput", name=name, measure=RATE, **fields)


@pytest.fixture
def answers(monkeypatch):
    """Lets a test say what each case's process answers: {name: answer or list of answers}."""

    def answer_with(answers: dict):
        asked = []

        def measure(case, seed):
            asked.append((case.name, seed, case.flags.get("global_batch_size")))
            found = answers[case.name]
            return found(case) if callable(found) else found

        monkeypatch.setattr(runner, "measure", measure)
        monkeypatch.setattr(runner.health, "describe", lambda *_: {"noisy": False, "reasons": []})
        return asked

    return answer_with


GOOD = {"status": "ok", "error": None, "metrics": {"steps_per_second": 5.0}}
BAD = {"status": "failed", "error": "it broke"}


def make(tmp_path, **options) -> Runner:
    options = {"strict": False, "tell": lambda line: None, **options}
    return Runner(tmp_path / "results", ["benchmarks.main", "run"], **options)


def test_repeats_go_round_all_cases_and_are_seeds(answers, tmp_path):
    asked = answers({"a": GOOD, "b": GOOD})
    make(tmp_path).run([case("a"), case("b")], repeats=3)
    assert [(name, seed) for name, seed, _ in asked] == [
        ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2),
    ]  # fmt: skip
    rows = read_results(tmp_path / "results")
    assert [(row["case"], row["repeat"], row["seed"]) for row in rows] == [
        (name, seed, seed) for name, seed, _ in asked
    ]
    for row in read_json_lines(tmp_path / "results" / "records.jsonl"):
        check_row(row)
    (environment,) = read_records(tmp_path / "results").environments.values()
    assert {row["environment_id"] for row in rows} == {environment["environment_id"]}
    assert "benchmarks.main" in environment["command"]


def test_a_failed_case_is_a_row_and_the_rest_goes_on(answers, tmp_path):
    answers({"a": BAD, "b": GOOD})
    make(tmp_path).run([case("a"), case("b")], repeats=1)
    bad, good = read_results(tmp_path / "results")
    assert (bad["status"], bad["error"], bad["metrics"]) == ("failed", "it broke", {})
    assert good["status"] == "ok"


def test_it_goes_on_where_it_stopped_and_tries_failures_again(answers, tmp_path):
    answers({"a": GOOD, "b": BAD})
    make(tmp_path).run([case("a"), case("b")], repeats=1)
    asked = answers({"a": GOOD, "b": GOOD})
    make(tmp_path).run([case("a"), case("b")], repeats=2)
    assert [(name, seed) for name, seed, _ in asked] == [("b", 0), ("a", 1), ("b", 1)]
    rows = read_results(tmp_path / "results")
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert len(read_records(tmp_path / "results").environments) == 1


def test_a_line_cut_short_by_a_crash_is_measured_again(answers, tmp_path):
    answers({"a": GOOD})
    make(tmp_path).run([case("a")], repeats=1)
    path = tmp_path / "results" / "records.jsonl"
    path.write_text(path.read_text()[:-20])
    asked = answers({"a": GOOD})
    make(tmp_path).run([case("a")], repeats=1)
    assert len(asked) == 1
    assert len(read_results(tmp_path / "results")) == 1


def test_strict_refuses_a_busy_machine_and_keeps_the_rows_before(answers, tmp_path, monkeypatch):
    answers({"a": GOOD, "b": GOOD})
    states = iter([(False, []), (True, ["other processes used 40% of the CPUs"])])

    def describe(*_):
        noisy, reasons = next(states)
        return {"noisy": noisy, "reasons": reasons}

    monkeypatch.setattr(runner.health, "describe", describe)
    with pytest.raises(BusyMachineError, match=r"b was measured on a busy machine .*40%"):
        make(tmp_path, strict=True).run([case("a"), case("b")], repeats=1)
    assert [row["case"] for row in read_results(tmp_path / "results")] == ["a"]


def test_find_batch_measures_the_largest_that_fits_beside_the_case(answers, tmp_path):
    def answer(case):
        fits = case.flags["global_batch_size"] <= 100
        return GOOD if fits else {"status": "out_of_memory", "error": "no room"}

    answers({"a": answer, "a-largest_batch": answer})
    big = case("a", flags={"global_batch_size": 512})
    make(tmp_path, find_batch=True).run([big], repeats=1)
    asked, found = read_results(tmp_path / "results")
    assert (asked["case"], asked["status"]) == ("a", "out_of_memory")
    assert (found["case"], found["status"]) == ("a-largest_batch", "ok")
    assert "--global_batch_size=9" in found["command"] or "=100" in found["command"]


@pytest.fixture
def process(monkeypatch):
    """Lets a test say what a case's process does: Python code, given the answer's path."""

    def run(code: str, timeout_seconds: float = 3):
        monkeypatch.setattr(
            worker, "command",
            lambda _case, _seed, path: [sys.executable, "-c", code, str(path)],
        )  # fmt: skip
        return runner.measure(case("a", timeout_seconds=timeout_seconds), seed=0)

    return run


def test_a_process_that_ends_badly_gives_its_reason(process):
    assert process("import sys; sys.exit('no such thing')") == {
        "status": "failed", "error": "exit status 1: no such thing",
    }  # fmt: skip
    killed = process("import os; os.kill(os.getpid(), 9)")
    assert killed["error"].startswith("killed by signal 9")
    late = process("import time; time.sleep(600)", timeout_seconds=1)
    assert late["error"].startswith("killed after 1 s")
    assert process("pass") == {"status": "failed", "error": "the process wrote no answer"}


def test_a_process_that_uses_up_the_memory_is_stopped(process, monkeypatch):
    me = psutil.Process()
    # A machine of its own: what others take and give back meanwhile is not seen.
    room = processes._MEMORY_RESERVE * processes.total_memory_bytes() + 2**30

    def left() -> float:
        return room - sum(child.memory_info().rss for child in me.children(recursive=True))

    monkeypatch.setattr(processes, "available_memory_bytes", left)
    grow = "import time; held = []\nwhile True: held.append(b'x' * 2**26); time.sleep(0.05)"
    row = process(grow, timeout_seconds=60)
    assert row["status"] == "out_of_memory"
    assert re.fullmatch(
        r"stopped with [1-4]\.\d GiB held and none left on the machine", row["error"]
    )


@pytest.fixture
def small_machine() -> Iterator[str]:
    """Yields shell words after which a command has 512 MB of memory: a control group."""
    root = Path("/sys/fs/cgroup/memory")
    if not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("this machine lets no control group of version 1 be made")
    group = root / f"flowrate-test-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(512 * 2**20))
    yield f"echo $$ > {group}/cgroup.procs"
    group.rmdir()


@pytest.mark.parametrize(
    ("megabytes_at_first", "watch_seconds", "reason"),
    [
        # Then half a second is left for the watch, which looks often.
        (400, 0.02, "stopped with 0.5 GiB held and none left"),
        # The watch does not come to look: the system is first.
        (4096, 1000, "killed by the system"),
    ],
    ids=["slowly", "at once"],
)
def test_a_real_shortage_is_told_as_one(small_machine, megabytes_at_first, watch_seconds, reason):
    grow = (
        f"import time\nheld = [b'x' * ({megabytes_at_first} * 2**20)]\n"
        "while True: held.append(b'x' * 2**20); time.sleep(0.05)"
    )
    measure = (
        "import sys; from benchmarks.machine.processes import run_to_end;"
        "from flowrate import processes;"
        f"processes._WATCH_SECONDS = {watch_seconds};"
        f"failure = run_to_end([sys.executable, '-c', {grow!r}], 60);"
        "print(failure.status, failure.error)"
    )
    done = subprocess.run(
        ["sh", "-c", f'{small_machine}; exec "$@"', "sh", sys.executable, "-c", measure],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("out_of_memory " + reason), done.stderr


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_leaves_nothing_running_and_keeps_the_rows(tmp_path):
    folder = tmp_path / "results"
    command = [
        sys.executable, "-m", "benchmarks.main", "run", "--suite=throughput", "--datasets=digits",
        "--seconds=3000", "--repeats=1", f"--output={folder}",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    worker: list[int] = []
    try:
        deadline = time.monotonic() + 150
        # Not the children that describe the environment: its row is written after them.
        while not worker and time.monotonic() < deadline:
            worker = _children(process.pid) if read_json_lines(folder / "records.jsonl") else []
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert worker
        assert process.returncode == 130
        assert errors.startswith("stopped; the rows so far are kept")
        assert "Traceback" not in errors
        assert not any(_is_running(pid) for pid in worker)
        assert [row["kind"] for row in read_json_lines(folder / "records.jsonl")] == ["environment"]
    finally:
        if process.poll() is None:
            for pid in (*_children(process.pid), process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def _children(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(word) for word in words]


def test_rows_of_another_kind_do_not_disturb(answers, tmp_path):
    (tmp_path / "results").mkdir()
    append_json_lines(tmp_path / "results" / "records.jsonl", [{"kind": "note"}])
    asked = answers({"a": GOOD})
    make(tmp_path).run([case("a")], repeats=1)
    assert len(asked) == 1
