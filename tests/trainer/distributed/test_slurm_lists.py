"""Slurm's short forms, against examples, laws and Slurm itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.distributed.slurm_lists import expand_host_list, expand_task_counts


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("node1", ["node1"]),
        ("gpu[9-11,20]", ["gpu9", "gpu10", "gpu11", "gpu20"]),
        ("a[08-10]", ["a08", "a09", "a10"]),
        ("login,gpu[1-2],c3", ["login", "gpu1", "gpu2", "c3"]),
        ("r[1-2]n[3,5]-ib", ["r1n3-ib", "r1n5-ib", "r2n3-ib", "r2n5-ib"]),
    ],
)
def test_host_lists(text, hosts):
    assert expand_host_list(text) == hosts


@pytest.mark.skipif(not shutil.which("scontrol"), reason="Slurm is not installed")
@pytest.mark.parametrize("text", ["gpu[9-11,20]", "a[08-10],b", "r[1-2]n[3,5]", "x[1-3]y"])
def test_host_lists_as_slurm_itself_reads_them(text):
    done = subprocess.run(
        ["scontrol", "show", "hostnames", text], capture_output=True, text=True, timeout=30
    )
    if done.returncode:
        pytest.skip(f"scontrol: {done.stderr.strip()}")
    assert expand_host_list(text) == done.stdout.split()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=5))
def test_task_counts(runs):
    text = ",".join(f"{count}(x{times})" if times > 1 else f"{count}" for count, times in runs)
    expected = [count for count, times in runs for _ in range(times)]
    assert expand_task_counts(text) == expected
