"""What is installed, beside what setup.cfg asks for; and whether TensorFlow can be imported."""

from __future__ import annotations

import configparser
import importlib.metadata
import importlib.util
import re
from pathlib import Path

from flowrate.environment import CHECKOUT
from trainer.doctor import children, tensorflow_child
from trainer.doctor.check import FAILED, OK, Check

SETUP = CHECKOUT / "setup.cfg"
_INSTALL = "pip install -e ."


def check_required(setup: Path = SETUP) -> Check:
    """Returns whether the required packages are there, in the versions that `setup` asks for.

    Where `packaging` itself is missing, only names are compared. The packages of extras are
    reported by the commands that need them.
    """
    parser = configparser.ConfigParser(comment_prefixes=("#",))
    parser.read_string(setup.read_text(encoding="utf-8"))
    missing, wrong = [], []
    versions: dict[str, str | None] = {}
    for line in filter(None, map(str.strip, parser["options"]["install_requires"].splitlines())):
        found_name = re.match(r"[\w.-]+", line)
        assert found_name is not None  # Every line begins with one.
        name = found_name.group()
        try:
            versions[name] = version = importlib.metadata.version(name)
            wrong += [f"{name} {version} ({line})"] * (not _fits(line, version))
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            missing.append(name)
    facts = {"versions": versions}
    if missing or wrong:
        found = [f"not installed: {', '.join(missing)}"] * bool(missing) + wrong
        to_do = f"{_INSTALL} in a virtual environment; or scripts/quickstart, which makes .venv"
        return Check(FAILED, "; ".join(found), to_do, facts)
    return Check(OK, f"{len(versions)} packages, all as setup.cfg wants them", facts=facts)


def check_tensorflow() -> Check:
    """Returns whether a process of its own can import TensorFlow, and how long that takes."""
    facts, ended = tensorflow_child.facts()
    if facts:
        found = f"{facts['version']} is imported in {facts['import_seconds']:.1f} s"
        return Check(OK, found, facts=facts)
    if importlib.util.find_spec("tensorflow") is None:
        return Check(FAILED, "not installed", _INSTALL)
    said = children.last_line(ended.errors)[:160]
    to_do = "pip install --force-reinstall 'tensorflow>=2.21,<2.22'"
    if ended.exit_code is not None and ended.exit_code < 0:  # SIGILL, or TensorFlow's own abort.
        to_do = "use a CPU with AVX, or TensorFlow built for this one; else: " + to_do
    found = f"cannot be imported: it {ended.how()}: {said}"
    return Check(FAILED, found, to_do, {"exit_code": ended.exit_code})


def _fits(line: str, version: str) -> bool:
    if importlib.util.find_spec("packaging") is None:
        return True
    from packaging.requirements import Requirement

    return Requirement(line).specifier.contains(version, prereleases=True)
