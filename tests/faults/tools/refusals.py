"""Commands that are given what others made to do harm: each says no in one line, and no more.

None gets so far as to import TensorFlow: a package that ends the process stands in its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from faults.tools.peak import run_measured
from faults.tools.places import make_places
from faults.tools.runs import environment

SECRET = "the password is 1234"
IMPORTED_TENSORFLOW = 99
_MOST_SECONDS, _MOST_MEBIBYTES = 60, 400


class Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def make_poison(folder: Path) -> Path:
    """Returns a folder for PYTHONPATH: importing TensorFlow ends the process."""
    package = folder / "poison" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import os\nos._exit({IMPORTED_TENSORFLOW})\n")
    return package.parent


def put_arrays(run_dir: Path, content: bytes) -> None:
    """Puts other arrays into a run's checkpoint, with a manifest that vouches for them."""
    (folder,) = (run_dir / "checkpoints").iterdir()
    (folder / "arrays.npz").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"]["arrays.npz"] = facts
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


class Place:
    """A folder with a run that is sound, beside which lies a treasure.

    Attributes:
        folder: what is hostile is to be laid into it.
        run: the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "places").mkdir()
        make_places(folder / "places")
        self.run = (folder / "places" / "run").rename(folder / "run")
        shutil.rmtree(folder / "places")
        (folder / "treasure").write_text(SECRET)
        self._poison = make_poison(folder)

    def check_refused(self, words: Sequence[str], status: int) -> dict[str, float]:
        """Checks that a command says no, and no more; returns the time and memory that it took."""
        started = time.perf_counter()
        exit_code, said, mebibytes = self.use(words)
        seconds = time.perf_counter() - started
        where = f"{' '.join(words)}: status {exit_code}, {said[-300:]!r}"
        assert exit_code == status, where
        assert said.startswith("error: "), where
        assert said.count("\n") == 1, where
        assert said.rstrip("\n").isprintable(), where
        assert "1234" not in said, where
        assert (self.folder / "treasure").read_text() == SECRET, where
        made = [*self.folder.rglob("pwned"), *(self.folder / "work").iterdir()]
        assert not made, where
        assert mebibytes < _MOST_MEBIBYTES, where
        return {"most_seconds": seconds, "most_mebibytes": mebibytes}

    def use(self, words: Sequence[str]) -> tuple[int, str, float]:
        """Runs a command; returns the status, what it says on standard error, and its MiB."""
        work, home = self.folder / "work", str(self.folder / "home")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        variables = environment(HOME=home, MPLCONFIGDIR=home)
        variables["PYTHONPATH"] = f"{self._poison}:{variables['PYTHONPATH']}"
        with (self.folder / "stderr").open("w+b") as errors:
            status, mebibytes = run_measured(
                [sys.executable, "-m", *words], self.folder / "peak", _MOST_SECONDS, cwd=work,
                env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        return status, (self.folder / "stderr").read_text(errors="replace"), mebibytes
