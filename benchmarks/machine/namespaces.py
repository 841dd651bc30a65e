"""Virtual hosts on this machine: a network namespace each, joined by virtual cables to one bridge.

Nothing of it is seen outside: the bridge lies in a namespace of its own. Needs root, `ip` and, for
cables of a given rate, `tc`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import psutil

from flowrate.errors import ClusterError
from trainer.distributed.process_group import Host

_PREFIX = "flowrate"
# Set aside for measuring networks (RFC 2544).
_NETWORK = "198.18.0"
_SECONDS = 30
# A token bucket (tc-tbf(8)): larger than the largest packet that the kernel hands on, 64 KiB.
_BUCKET = ("burst", "128kb", "latency", "100ms")


def why_none() -> str | None:
    """Returns, in words, why there can be no virtual hosts here; None where there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if _path("ip") is None:
        return "network namespaces need the program `ip` (iproute2)"
    try:
        with virtual_hosts(1):
            return None
    except ClusterError as error:
        return str(error)


@contextlib.contextmanager
def virtual_hosts(count: int, rate: str | None = None) -> Iterator[list[Host]]:
    """Makes virtual hosts that reach each other, and takes them away again.

    Args:
        count: how many.
        rate: of each cable in each direction, as tc(8) writes it: `1gbit`; None: as it comes.

    Raises:
        ClusterError: the system does not let them be made; says what it answered.
    """
    _remove_abandoned()
    names = [f"{_PREFIX}-{os.getpid()}-{name}" for name in ("hub", *range(count))]
    hub, *hosts = names
    try:
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for number, name in enumerate(hosts):
            _add_host(hub, name, number, rate)
        program = _path("ip")
        assert program is not None  # It has just been run.
        yield [
            Host(_address(number), (program, "netns", "exec", name))
            for number, name in enumerate(hosts)
        ]
    finally:
        for name in names:
            _remove(name)


def set_cable(number: int, state: str) -> None:
    """Cuts the cable of one of this process's virtual hosts, or mends it: `down` or `up`.

    Raises:
        ClusterError: there is no such host, or the system does not let it be done.
    """
    _ip("-n", f"{_PREFIX}-{os.getpid()}-hub", "link", "set", f"cable{number}", state)


def _add_host(hub: str, name: str, number: int, rate: str | None) -> None:
    cable = f"cable{number}"
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", cable, "netns", hub)
    _ip("-n", hub, "link", "set", cable, "master", "bridge", "up")
    _ip("-n", name, "address", "add", f"{_address(number)}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    if rate:
        for end in ((name, "eth0"), (hub, cable)):
            _limit(*end, rate)


def _limit(name: str, device: str, rate: str) -> None:
    """Limits what the device of that namespace sends."""
    _run("tc", "-n", name, "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, *_BUCKET)


def _address(number: int) -> str:
    return f"{_NETWORK}.{number + 1}"


def _remove_abandoned() -> None:
    """Takes away what a process that was killed has left."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0] if line.strip() else ""
        parts = name.split("-")
        is_ours = len(parts) == 3 and parts[0] == _PREFIX and parts[1].isdigit()
        if is_ours and not psutil.pid_exists(int(parts[1])):
            _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(ClusterError):
        _ip("netns", "delete", name)


def _ip(*words: str) -> str:
    return _run("ip", *words)


def _run(program: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [_path(program) or program, *words], capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"network namespaces: {program} {' '.join(words)}: {error}.") from None
    if done.returncode:
        reason = " ".join(done.stderr.split())[:200]
        raise ClusterError(f"network namespaces: {program} {' '.join(words)}: {reason}")
    return done.stdout


def _path(program: str) -> str | None:
    # Where a user's PATH may not reach.
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
