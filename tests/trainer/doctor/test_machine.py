"""The machine's checks, on real folders, file systems, limits and names."""

from __future__ import annotations

import configparser
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from trainer.doctor import machine, network, storage
from trainer.doctor.check import Check, guarded

ROOT = Path(__file__).resolve().parents[3]


def test_the_allowed_pythons_are_those_of_setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    allowed = SpecifierSet(parser["options"]["python_requires"])
    for minor in range(6, 20):
        assert machine.python_is_allowed((3, minor)) == allowed.contains(f"3.{minor}"), minor


def test_few_open_files_are_told():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        checks = {check.name: check for check in machine.look()}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert checks["open files"].verdict == "warning"
    assert checks["open files"].to_do.startswith("ulimit -n")


def test_a_folder_need_not_exist_and_is_not_made(tmp_path):
    check = storage.check_folder("disk for runs", tmp_path / "a" / "b")
    assert check.verdict == "ok" or "GiB free" in check.found
    assert check.facts["free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(unwritable_folder):
    check = storage.check_folder("disk for runs", unwritable_folder / "runs")
    assert check.verdict == "failed"
    assert "cannot be written: " in check.found
    assert "--run_dir" in check.to_do
    milder = storage.check_folder("disk for data", unwritable_folder, unwritable="warning")
    assert milder.verdict == "warning"


@pytest.mark.parametrize(
    ("size", "verdict"), [("size=300m", "warning"), ("size=10m", "failed"), ("size=2g", "ok")]
)
def test_a_small_disk(make_disk, size, verdict):
    check = storage.check_folder("temporary files", make_disk(size))
    assert check.verdict == verdict
    assert verdict == "ok" or "TMPDIR" in check.to_do


def test_a_full_disk(make_disk):
    disk = make_disk("size=2g,nr_inodes=2")
    (disk / "last").touch()
    check = storage.check_folder("disk for runs", disk)
    assert (check.verdict, "No space left" in check.found) == ("failed", True)


def test_shared_memory_matters_where_there_are_several_gpus(make_disk, tmp_path):
    docker = make_disk("size=64m")  # What a container gets by default.
    assert storage.check_shared_memory(docker, 1).verdict == "ok"
    check = storage.check_shared_memory(docker, 2)
    assert check.verdict == "warning"
    assert check.found == "64 MiB of 64 MiB free; NCCL wants 1.0 GiB"
    assert "--shm-size" in check.to_do
    assert storage.check_shared_memory(make_disk("size=2g"), 8).verdict == "ok"
    assert storage.check_shared_memory(tmp_path / "none", 8).verdict == "warning"


def test_no_temporary_folder_at_all(monkeypatch):
    def refuse():
        raise FileNotFoundError("No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)  # No machine here has none.
    (check,) = [each for each in storage.look(lambda: 0) if each.name == "temporary files"]
    assert check.verdict == "failed"


def test_host_names():
    assert network.check_host_name("localhost").verdict == "ok"
    check = network.check_host_name("nowhere.invalid")
    assert check.verdict == "warning"
    assert "nowhere.invalid is not known here" in check.found


def test_a_check_that_breaks_does_not_end_the_others():
    def breaks():
        raise OSError("first line\nsecond")

    def lacks():
        import a_package_that_is_not_there  # noqa: F401

    (broken,) = guarded("machine", "one", breaks)
    assert broken.verdict == "failed"
    assert broken.found.endswith("OSError: first line second")
    (lacking,) = guarded("machine", "two", lacks)
    assert lacking.verdict == "absent"
    assert "a_package_that_is_not_there" in lacking.found
    fine = Check("machine", "three", "ok", "fine")
    assert list(guarded("machine", "three", lambda: fine)) == [fine]
