"""Facts about the machine, held against other sources of the same facts."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flowrate import environment, records

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def facts():
    return environment.describe_environment(["main.py", "--dataset=a b", "--steps=3"])


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with a copy of the package, which is no checkout yet."""
    shutil.copytree(ROOT / "flowrate", tmp_path / "flowrate")
    return tmp_path


def commit_recorded_in(folder: Path) -> str | None:
    code = (
        "import json, flowrate.environment as e;"
        "print(json.dumps(e.describe_environment(['main'])['commit']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_facts_can_be_written_down(facts):
    assert json.loads(records.to_json(facts)) == facts
    assert facts["memory_bytes"] == pytest.approx(psutil.virtual_memory().total, rel=0.01)


def test_versions_are_those_installed(facts):
    for package, version in facts["versions"].items():
        assert version == importlib.metadata.version(package)
    assert {"tensorflow", "keras", "numpy"} <= facts["versions"].keys()
    assert facts["python"] == platform.python_version()


def test_a_package_that_is_not_installed_has_no_version():
    found = environment.describe_environment(["main"], ["no-such-package-anywhere"])["versions"]
    assert found["no-such-package-anywhere"] is None


def test_processor(facts):
    assert facts["cpu"]["count"] == len(os.sched_getaffinity(0))
    assert facts["cpu"]["model"]
    flags = facts["cpu"]["flags"]
    assert len(flags) == len(set(flags))
    known = set(re.findall(r"[\w.]+", Path("/proc/cpuinfo").read_text()))
    assert set(flags) <= known
    assert ("avx2" in flags) == ("avx2" in known)
    assert "sse2" not in flags


@pytest.mark.parametrize(
    ("controllers", "folder", "limit", "used", "reclaimable"),
    [
        ("", ".", "memory.max", "memory.current", "inactive_file"),
        ("cpu,memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
         "total_inactive_file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("depth", ["", "slurm", "slurm/job_7"])
def test_memory_is_what_the_job_may_use(
    tmp_path, controllers, folder, limit, used, reclaimable, depth
):
    membership = tmp_path / "membership"
    membership.write_text(f"5:devices:/other\n3:{controllers}:/slurm/job_7\n")
    group = tmp_path / folder / depth
    group.mkdir(parents=True, exist_ok=True)
    (group / limit).write_text("1000000\n")
    (group / used).write_text("900000\n")
    (group / "memory.stat").write_text(f"anon 5\n{reclaimable} 300000\n")

    def available() -> int:
        return environment.available_memory_bytes(tmp_path, membership)

    # Cached files are given up when memory is asked for.
    assert available() == 400_000
    assert environment.total_memory_bytes(tmp_path, membership) == 1_000_000
    (group / used).write_text("1500000\n")
    assert available() == 0
    (group / limit).write_text("max\n")
    assert available() > 2**20
    assert environment.total_memory_bytes(tmp_path, membership) == psutil.virtual_memory().total


def test_the_command_can_be_typed_again(facts):
    words = shlex.split(facts["command"])
    assert words == [sys.executable, "-m", "trainer.main", "--dataset=a b", "--steps=3"]
    assert facts["working_directory"] == os.getcwd()


def test_commit_and_whether_files_differ_from_it(checkout):
    assert commit_recorded_in(checkout) is None
    git(checkout, "init")
    assert commit_recorded_in(checkout) is None
    git(checkout, "add", "flowrate/*.py")
    git(checkout, "commit", "-m", "All")
    git(checkout, "tag", "-m", "A release", "v1")
    assert commit_recorded_in(checkout) == git(checkout, "rev-parse", "HEAD")
    with (checkout / "flowrate" / "errors.py").open("a") as file:
        file.write("# changed\n")
    assert commit_recorded_in(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"
