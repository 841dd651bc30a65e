"""Fixtures for the tests of the trainer."""

from __future__ import annotations

import os
import subprocess

import pytest


@pytest.fixture
def make_disk(tmp_path):
    """Returns a function: mounts a file system in memory, `make_disk("size=1m")`; or a skip."""
    mounted = []

    def make(options: str):
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a small file system")
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        # Lazily: TensorBoard's writer may hold a file until the process ends.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
