"""What is installed, beside what setup.cfg asks for; and whether TensorFlow can be imported."""

from __future__ import annotations

import configparser
import dataclasses
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.doctor import children, tensorflow_child
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, guarded

if TYPE_CHECKING:
    from packaging.requirements import Requirement

SECTION = "packages"
_INSTALL = "pip install -e ."


@dataclasses.dataclass(frozen=True)
class Installed:
    """A requirement, and the version that is there; None where none is."""

    name: str
    wanted: str
    version: str | None
    fits: bool

    def describe(self) -> str:
        """Returns `numpy 1.26.4 (wanted: >=2.0)`."""
        return f"{self.name} {self.version or 'is not installed'} (wanted: {self.wanted or 'any'})"


def look(setup: Path = children.ROOT / "setup.cfg") -> Iterator[Check]:
    """Yields the checks.

    Args:
        setup: the file that says what is needed.
    """
    yield from guarded(SECTION, "required", lambda: _check_required(setup))
    yield from guarded(SECTION, "extras", lambda: _check_extras(setup))
    yield from guarded(SECTION, "checkout", _check_checkout)
    yield from guarded(SECTION, "TensorFlow", check_tensorflow)


def check_tensorflow() -> Check:
    """Returns whether a process of its own can import TensorFlow, and how long that takes."""
    facts, ended = tensorflow_child.facts()
    if facts:
        found = f"{facts['version']} is imported in {facts['import_seconds']:.1f} s"
        return Check(SECTION, "TensorFlow", OK, found, facts=facts)
    if importlib.util.find_spec("tensorflow") is None:
        return Check(SECTION, "TensorFlow", FAILED, "not installed", _INSTALL)
    said = children.last_line(ended.errors)[:160]
    to_do = "pip install --force-reinstall 'tensorflow>=2.21,<2.22'"
    if ended.exit_code is not None and ended.exit_code < 0:  # SIGILL, or TensorFlow's own abort.
        to_do = "use a CPU with AVX, or TensorFlow built for this one; else: " + to_do
    return Check(
        SECTION, "TensorFlow", FAILED, f"cannot be imported: it {ended.how()}: {said}", to_do,
        {"exit_code": ended.exit_code},
    )  # fmt: skip


def check_missing(setup: Path = children.ROOT / "setup.cfg") -> Check:
    """Returns whether the required packages are there in any version; needs none of them."""
    names = [
        re.match(r"[\w.-]+", line).group() for line in _lines(setup, "options", "install_requires")
    ]
    missing = [name for name in names if _version(name) is None]
    facts = {"versions": {name: _version(name) for name in names}}
    if missing:
        found = f"not installed: {', '.join(missing)}"
        to_do = f"{_INSTALL} in a virtual environment; or scripts/quickstart, which makes .venv"
        return Check(SECTION, "required", FAILED, found, to_do, facts)
    return Check(SECTION, "required", OK, f"{len(names)} packages", facts=facts)


def _check_required(setup: Path) -> Check:
    if importlib.util.find_spec("packaging") is None:
        return check_missing(setup)
    found = list(_look_up(_requirements(_lines(setup, "options", "install_requires"))))
    bad = [each.describe() for each in found if not each.fits]
    facts = {"versions": {each.name: each.version for each in found}}
    if bad:
        return Check(SECTION, "required", FAILED, "; ".join(bad), _INSTALL, facts)
    found_all = f"{len(found)} packages, all as setup.cfg wants them"
    return Check(SECTION, "required", OK, found_all, facts=facts)


def _check_extras(setup: Path) -> Iterator[Check]:
    for extra in _parser(setup)["options.extras_require"]:
        lines = _lines(setup, "options.extras_require", extra)
        found = list(_look_up(_requirements(lines)))
        there = [each for each in found if each.version]
        bad = [each for each in there if not each.fits]
        absent = [each.name for each in found if not each.version]
        facts = {"versions": {each.name: each.version for each in found}}
        name, to_do = f"extra {extra}", f"{_INSTALL[:-1]}.[{extra}]"
        if bad:
            lines_of_bad = "; ".join(each.describe() for each in bad)
            yield Check(SECTION, name, WARNING, lines_of_bad, to_do, facts)
        elif absent:
            some = ", ".join(absent[:3]) + (
                f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            )
            yield Check(SECTION, name, ABSENT, f"not whole: without {some}",
                        f"{to_do}, if you need it", facts)  # fmt: skip
        else:
            versions = ", ".join(f"{each.name} {each.version}" for each in there[:4])
            yield Check(SECTION, name, OK, versions, facts=facts)


def _check_checkout() -> Check:
    from flowrate.environment import describe_environment

    commit = describe_environment([])["commit"]
    if commit is None:
        found = f"{children.ROOT} is no git checkout, or git is not here: runs will not say which"
        return Check(SECTION, "checkout", ABSENT, f"{found} code they ran")
    name, dash, _ = commit.partition("-")
    changed = ", with changes that are not committed" if dash else ""
    return Check(SECTION, "checkout", OK, f"commit {name[:12]}{changed}", facts={"commit": commit})


def _requirements(lines: list[str]) -> Iterator[Requirement]:
    """Yields what applies here, with what the extras of `tensorflow[and-cuda]` ask for."""
    from packaging.requirements import Requirement

    for line in lines:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        yield requirement
        for extra in requirement.extras:
            yield from _asked_by_extra(requirement.name, extra)


def _asked_by_extra(name: str, extra: str) -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            yield requirement


def _look_up(requirements: Iterator[Requirement]) -> Iterator[Installed]:
    for requirement in requirements:
        version = _version(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        yield Installed(requirement.name, str(requirement.specifier), version, fits)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parser(setup: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(comment_prefixes=("#",))
    with setup.open(encoding="utf-8") as file:
        parser.read_file(file)
    return parser


def _lines(setup: Path, section: str, name: str) -> list[str]:
    return [line for line in _parser(setup)[section][name].splitlines() if line.strip()]
