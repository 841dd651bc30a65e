"""The machine's checks, on real folders and file systems; what is installed."""

from __future__ import annotations

import configparser
import importlib.metadata
import shutil
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from trainer.doctor import machine, packages

ROOT = Path(__file__).resolve().parents[3]
NUMPY = importlib.metadata.version("numpy")


def test_the_allowed_pythons_are_those_of_setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    allowed = SpecifierSet(parser["options"]["python_requires"])
    for minor in range(6, 20):
        assert machine.python_is_allowed((3, minor)) == allowed.contains(f"3.{minor}"), minor


def test_a_folder_need_not_exist_and_is_not_made(tmp_path):
    check = machine.check_folder(tmp_path / "a" / "b", "--run_dir")
    assert check.verdict == "ok" or "GiB free" in check.found
    assert check.facts["free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(unwritable_folder):
    check = machine.check_folder(unwritable_folder / "runs", "--run_dir")
    assert check.verdict == "failed"
    assert "--run_dir" in check.to_do
    assert machine.check_folder(unwritable_folder, "", unwritable="warning").verdict == "warning"


@pytest.mark.parametrize(
    ("options", "verdict"),
    [("size=300m", "warning"), ("size=10m", "failed"), ("size=2g", "ok"),
     ("size=2g,nr_inodes=1", "failed")],
)  # fmt: skip
def test_a_small_disk(make_disk, options, verdict):
    check = machine.check_folder(make_disk(options), "TMPDIR")
    assert check.verdict == verdict
    assert verdict == "ok" or "TMPDIR" in check.to_do


def test_shared_memory_matters_where_there_are_several_gpus(make_disk, tmp_path):
    docker = make_disk("size=64m")  # What a container gets by default.
    assert machine.check_shared_memory(docker, 1).verdict == "ok"
    check = machine.check_shared_memory(docker, 2)
    assert check.verdict == "warning"
    assert "--shm-size" in check.to_do
    assert machine.check_shared_memory(make_disk("size=2g"), 8).verdict == "ok"
    assert machine.check_shared_memory(tmp_path / "none", 8).verdict == "warning"


@pytest.mark.parametrize(
    ("lines", "verdict", "words"),
    [
        (["numpy>=1.0", "# why", "psutil"], "ok", ["2 packages"]),
        (["numpy>=999"], "failed", [f"numpy {NUMPY}", ">=999"]),
        (["numpy<1", "a-package-of-nobody[x]>=2"], "failed", [NUMPY, "a-package-of-nobody"]),
    ],
)
def test_what_is_installed(tmp_path, lines, verdict, words):
    setup = tmp_path / "setup.cfg"
    setup.write_text("\n    ".join(["[options]\ninstall_requires =", *lines]) + "\n")
    check = packages.check_required(setup)
    assert check.verdict == verdict
    assert check.facts["versions"]["numpy"] == NUMPY
    for word in words:
        assert word in check.found
