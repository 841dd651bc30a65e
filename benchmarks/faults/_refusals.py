"""Commands that are given what others made to do harm: each says no in one line, and no more.

None gets so far as to import TensorFlow: a package that ends the process stands in its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults._attempt import Broken, check
from benchmarks.faults._mistakes import IMPORTED_TENSORFLOW, ROOT
from benchmarks.faults._peak import run_measured

SECRET = "the password is 1234"
_MOST_SECONDS, _MOST_MEBIBYTES = 60, 400


def make_place(place: Path) -> Path:
    """Makes a folder, beside whose hostile contents lies a treasure; returns it."""
    place.mkdir(parents=True)
    (place / "treasure").write_text(SECRET)
    return place


def make_poison(folder: Path) -> Path:
    """Returns a folder for PYTHONPATH: importing TensorFlow ends the process."""
    package = folder / "poison" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import os\nos._exit({IMPORTED_TENSORFLOW})\n")
    return package.parent


def check_taken(name: str, words: Sequence[str], place: Path, poison: Path) -> None:
    """Checks that a command finds nothing to refuse: what follows is not this promise's."""
    exit_code, said, _ = _run(words, place, poison)
    wanted = {"trainer.report": 0, "trainer.predict": 3}.get(words[0], IMPORTED_TENSORFLOW)
    check(exit_code == wanted, f"{name}, {words}: status {exit_code}, {said[-300:]!r}")
    check(not [*place.rglob("pwned")], f"{name}, {words}: ran code")


def check_refused(
    name: str, words: Sequence[str], place: Path, poison: Path, status: int = 5
) -> tuple[float, float]:
    """Checks that a command says no, and no more.

    Args:
        name: what is hostile, for the message.
        words: the command, after `python -m`.
        place: that make_place has given; what is hostile lies there.
        poison: that make_poison has given.
        status: that the command must end with.

    Returns:
        The seconds until the answer, and the mebibytes it took.
    """
    started = time.perf_counter()
    exit_code, said, mebibytes = _run(words, place, poison)
    seconds = time.perf_counter() - started
    where = f"{name}, {' '.join(words)}: status {exit_code}, {said[-300:]!r}"
    check(exit_code == status, f"{where}; promised status {status}")
    check(said.startswith("error: ") and said.count("\n") == 1, f"{where}; promised one line")
    check(said.rstrip("\n").isprintable() and "1234" not in said, f"{where}; shows what it read")
    check((place / "treasure").read_text() == SECRET, f"{where}; wrote outside")
    made = [*place.rglob("pwned"), *(place / "work").iterdir()]
    check(not made, f"{where}; made {made}")
    check(mebibytes < _MOST_MEBIBYTES, f"{where}; took {mebibytes:.0f} MiB")
    return seconds, mebibytes


def _run(words: Sequence[str], place: Path, poison: Path) -> tuple[int, str, float]:
    """Returns the status, what stands on standard error, and the mebibytes that it took."""
    work = place / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(poison), str(ROOT)]),
        "HOME": str(place / "home"), "MPLCONFIGDIR": str(place / "home"),
    }  # fmt: skip
    with (place / "stderr").open("w+b") as errors:
        try:
            status, mebibytes = run_measured(
                [sys.executable, "-m", *words], place / "peak", _MOST_SECONDS, cwd=work,
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Broken(f"{words}: no answer within {_MOST_SECONDS} s") from None
    return status, (place / "stderr").read_text(errors="replace"), mebibytes
