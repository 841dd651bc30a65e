"""A private Slurm for tests, where this machine can have one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.submit import slurm

ROOT = Path(__file__).resolve().parents[3]
SLURMLAB = ROOT.parent / "shared" / "slurmlab" / "slurmlab.sh"
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "unshare", "nsenter")


class Lab:
    """A cluster of virtual nodes, and what a user does with it."""

    def __init__(self, base: Path, mode: str):
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        number = 2 * number + (mode == "netns")
        self.base = base
        self.environment = {
            **os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "SLURMLAB_BASE": str(base), "SLURMLAB_MODE": mode,
            "SLURMLAB_PORT": str(17_000 + 20 * number),
            "SLURMLAB_NSPREFIX": f"frt{number}", "SLURMLAB_NET": f"10.78.{number}",
            # Ports of a job follow from its number: two clusters on this machine keep apart.
            "SLURMLAB_EXTRA": f"FirstJobId={20 * number + 1}",
            # A job saves within this time.
            "SLURMLAB_KILLWAIT": "30", "SLURMLAB_SLURMDTIMEOUT": "10",
            "SLURM_CONF": str(base / "etc" / "slurm.conf"),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        # Of a job that this may run in itself.
        for name in [name for name in self.environment if name.startswith("SLURM_JOB")]:
            del self.environment[name]
        self._hub = f"frt{number}-hub"
        # In namespaces the controller is reached from its own only.
        self._prefix = [str(SLURMLAB), "exec"] if mode == "netns" else []

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command as on the login node."""
        done = subprocess.run(
            [*self._prefix, *words], env=self.environment, cwd=self.base, text=True,
            capture_output=True, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def submit(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs scripts/submit with the Python of the tests."""
        return self.run(sys.executable, "-m", "trainer.submit.main", *words, check=check)

    def cut(self, node: int) -> None:
        """Takes a node off the network."""
        self._set_link(node, "down")

    def heal(self, node: int) -> None:
        """Brings it back."""
        self._set_link(node, "up")

    def _set_link(self, node: int, state: str) -> None:
        command = ["ip", "-n", self._hub, "link", "set", f"v{node}", state]
        subprocess.run(command, check=True, env=self.environment)

    def facts(self, job_id: str) -> dict[str, str]:
        """What Slurm says of a job."""
        line = self.run("scontrol", "-o", "show", "job", job_id).stdout.splitlines()[0]
        return dict(word.partition("=")[::2] for word in line.split() if "=" in word)

    def wait_for_state(self, job_id: str, *states: str, seconds: float = 240) -> dict[str, str]:
        """Waits until the job is in one of the states."""
        end = time.monotonic() + seconds
        while (facts := self.facts(job_id))["JobState"] not in states:
            assert time.monotonic() < end, facts
            time.sleep(0.3)
        return facts

    def wait_for_end(self, job_id: str) -> dict[str, str]:
        """Waits until the job is over; a requeued one is let begin at once."""
        end = time.monotonic() + 280
        while (facts := self.facts(job_id))["JobState"] not in slurm.OVER:
            assert time.monotonic() < end, facts
            if facts["JobState"] == "PENDING" and facts["Restarts"] != "0":
                time.sleep(4)  # The nodes must have done with it: Slurm itself waits two minutes.
                self.run("scontrol", "update", f"jobid={job_id}", "StartTime=now", check=False)
            time.sleep(0.5)
        return facts


def _lab(mode: str, nodes: int) -> Iterator[Lab]:
    missing = [
        name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    if not SLURMLAB.exists():
        pytest.skip(f"needs {SLURMLAB}, which is not there")
    if os.geteuid() != 0:
        pytest.skip("needs root, to make the nodes of a Slurm")
    if missing:
        pytest.skip(f"needs Slurm (slurm-wlm, munge): {', '.join(missing)} not found")
    # Short: it holds sockets, whose paths may have 107 characters.
    base = Path(tempfile.mkdtemp(prefix="frt", dir="/tmp"))
    lab = Lab(base, mode)
    try:
        started = subprocess.run(
            [str(SLURMLAB), "start", str(nodes)], env=lab.environment, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        if started.returncode:
            pytest.skip(f"Slurm cannot be started here: {started.stderr.strip()[-300:]}")
        yield lab
    finally:
        subprocess.run(
            [str(SLURMLAB), "stop"], env=lab.environment, capture_output=True, timeout=120
        )
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A Slurm of three nodes on this machine's own addresses."""
    yield from _lab("loopback", 3)


@pytest.fixture(scope="session")
def separate_lab() -> Iterator[Lab]:
    """A Slurm of three nodes, each in a network of its own, whose links can be cut."""
    if not shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("needs iproute2, for networks of the nodes' own")
    yield from _lab("netns", 3)
