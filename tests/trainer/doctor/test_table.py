"""Lines that can be read at 80 columns, on a terminal and elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trainer.doctor.check import VERDICTS, Check
from trainer.doctor.diagnosis import describe_failures, to_json
from trainer.doctor.table import plain_lines

ROOT = Path(__file__).resolve().parents[3]
WORDS = st.lists(st.text("abcdefghij.,/-", min_size=1, max_size=40), min_size=1, max_size=40)


@given(st.sampled_from(VERDICTS), WORDS, WORDS, st.booleans())
def test_no_line_is_too_long_and_nothing_is_left_out(verdict, found, to_do, has_name):
    name = "multi_worker_mirrored, mixed_bfloat16, jit off" if has_name else "CPU"
    check = Check("probes", name, verdict, " ".join(found), " ".join(to_do))
    lines = list(plain_lines(check))
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"  {verdict}")
    words = " ".join(lines).split()
    for word in (*found, *to_do):
        assert word in words


def test_a_pipe_gets_plain_lines():
    code = (
        "from trainer.doctor.check import Check\n"
        "from trainer.doctor import table\n"
        "table.show([Check('machine', 'CPU', 'ok', 'fast'),"
        " Check('machine', 'memory', 'failed', 'little', 'buy some')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "machine",
        "  ok      CPU               fast",
        "  failed  memory            little",
        "          > buy some",
    ], done.stderr


def test_the_last_line_names_what_failed():
    checks = [
        Check("machine", "CPU", "ok", "fast"),
        Check("machine", "memory", "failed", "little", "buy some"),
        Check("data sets", "mnist", "failed", "damaged " * 40, "delete it"),
        Check("GPU", "GPU", "warning", "old", "buy one"),
    ]
    line = describe_failures(checks)
    assert line.startswith("this machine cannot train as it should: machine, memory (little); data")
    assert len(line) < 300
    assert to_json(checks)["exit_code"] == 4
    assert describe_failures(checks[:1]) == ""
    assert to_json(checks[:1])["exit_code"] == 0
