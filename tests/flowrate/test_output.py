"""A program whose log lies on a full disk goes on; one whose reader is gone does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from flowrate.output import survive_full_disk
survive_full_disk()
for number in range(10_000):
    print("a line", number)
    print("another", number, file=sys.stderr)
sys.exit(8)
"""


def run(**streams) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, text=True, **streams)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_takes_the_lines_and_nothing_else():
    with open("/dev/full", "w") as full:
        assert run(stdout=full, stderr=full).returncode == 8


def test_every_line_comes_in_order_where_there_is_room():
    done = run(capture_output=True)
    assert done.returncode == 8
    assert done.stdout == "".join(f"a line {number}\n" for number in range(10_000))
    assert done.stderr == "".join(f"another {number}\n" for number in range(10_000))
