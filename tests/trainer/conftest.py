"""Fixtures for the tests of the trainer."""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest
from faults.tools.disks import small_disk


@pytest.fixture
def make_disk(tmp_path):
    """Returns a function: mounts a file system in memory, `make_disk("size=1m")`; or a skip."""
    numbers = itertools.count()
    with contextlib.ExitStack() as disks:

        def make(options: str):
            return disks.enter_context(small_disk(tmp_path / f"disk-{next(numbers)}", options))

        yield make


@pytest.fixture
def unwritable_folder(tmp_path, request):
    """A folder nobody can write; for root, whom no permission stops, a read-only file system."""
    if os.geteuid() == 0:
        yield request.getfixturevalue("make_disk")("ro,size=1m")
        return
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)
