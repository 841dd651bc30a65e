"""Real trainings as processes: started, watched, and compared bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.tools.sizes import DATA_DIR

from flowrate.records import read_json_lines

ROOT = Path(__file__).resolve().parents[3]
PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
# Of a row of metrics.jsonl, what does not depend on time.
_COMPARED = ("step", "epoch", "loss", "accuracy", "gradient_norm", "learning_rate", "split")


def environment(**changes: str) -> dict[str, str]:
    """Returns the variables of a process that may import the program and these tools."""
    return {**os.environ, "PYTHONPATH": PYTHONPATH, **changes}


@dataclasses.dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line that was written to standard error, or to standard output."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else ""


class Training:
    """One run directory, and the command that trains in it.

    Args:
        run_dir: the folder.
        environment: variables beside those of this process.
        prefix: words before the command, as of strace.
        launcher: words of the launcher, where several processes train: `("--workers=2",)`.
        flags: of trainer.main.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        launcher: tuple[str, ...] = (),
        **flags: Any,
    ):
        self.run_dir = run_dir
        words = [f"--{name}={value}" for name, value in {**flags, "run_dir": run_dir}.items()]
        program = ["trainer.launch", *launcher, "--"] if launcher else ["trainer.main"]
        self.command = [*prefix, sys.executable, "-m", *program, *words]
        self.environment = environment or {}
        self.output = run_dir.with_name(f"{run_dir.name}.output")

    def start(self) -> subprocess.Popen:
        """Starts the command in a session of its own; its output goes to files."""
        self.output.mkdir(parents=True, exist_ok=True)
        with (
            (self.output / "stdout").open("wb") as out,
            (self.output / "stderr").open("wb") as err,
        ):
            return subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=environment(**self.environment),
                start_new_session=True,
            )  # fmt: skip

    def run(self, timeout_seconds: float = 240) -> Ended:
        """Runs the command to its end."""
        return self.end(self.start(), timeout_seconds)

    def end(self, process: subprocess.Popen, timeout_seconds: float = 240) -> Ended:
        """Waits for a process that `start` gave; what it started ends with it."""
        started = time.perf_counter()
        try:
            exit_code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(
                f"hung: not ended after {timeout_seconds:.0f} s; last: {self.said()[-200:]!r}"
            )
        finally:
            kill(process)
        seconds = time.perf_counter() - started
        return Ended(exit_code, self._read("stdout"), self._read("stderr"), seconds)

    def finish(self, timeout_seconds: float = 240) -> Ended:
        """Runs the command to its end, which must be a good one."""
        ended = self.run(timeout_seconds)
        assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
        return ended

    def said(self) -> str:
        """Returns what the command has written so far."""
        return self._read("stdout") + self._read("stderr")

    @property
    def metrics_path(self) -> Path:
        """The file of the run's rows."""
        return self.run_dir / "metrics.jsonl"

    def rows(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Returns the rows of metrics.jsonl, or those of one kind."""
        rows = read_json_lines(self.metrics_path)
        return [row for row in rows if kind in (None, row.get("kind"))]

    def step(self) -> int:
        """Returns the last step that is logged; 0 before there is one."""
        return max((row["step"] for row in self.rows("train")), default=0)

    def checkpoints(self) -> list[Path]:
        """Returns the folders of the checkpoints, in the order of their steps."""
        return sorted((self.run_dir / "checkpoints").glob("ckpt-????????"))

    def wait_until(
        self,
        process: subprocess.Popen,
        is_true: Callable[[], Any],
        timeout_seconds: float = 120,
        poll_seconds: float = 0.02,
    ) -> bool:
        """Waits until something is true, or the process has ended; returns whether it is true."""
        end = time.monotonic() + timeout_seconds
        while not is_true():
            if process.poll() is not None:
                return bool(is_true())
            assert time.monotonic() < end, f"waited {timeout_seconds:.0f} s for nothing"
            time.sleep(poll_seconds)
        return True

    def _read(self, name: str) -> str:
        path = self.output / name
        return path.read_text(errors="replace") if path.exists() else ""


def kill(process: subprocess.Popen) -> None:
    """Kills a process that `start` gave, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def running(training: Training) -> Iterator[subprocess.Popen]:
    """Starts a training; whatever happens, nothing of it is left running."""
    process = training.start()
    try:
        yield process
    finally:
        kill(process)


def curve(run_dir: Path) -> list[dict[str, Any]]:
    """Returns the figures of every train and evaluation row, without times."""
    return [
        {name: row[name] for name in _COMPARED if name in row}
        for row in read_json_lines(run_dir / "metrics.jsonl")
        if row["kind"] in ("train", "evaluation")
    ]


def final_arrays(run_dir: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of the newest checkpoint: weights, statistics and optimizer state."""
    newest = sorted((run_dir / "checkpoints").glob("ckpt-????????"))[-1]
    with np.load(newest / "arrays.npz", allow_pickle=False) as archive:
        return {"step": np.array(int(newest.name[5:])), **archive}


def check_same_run(run_dir: Path, reference: Path) -> None:
    """Checks that every logged figure and the final arrays are the reference's, bit for bit."""
    found, expected = curve(run_dir), curve(reference)
    for ours, theirs in zip(found, expected):
        assert ours == theirs, f"logged {ours}, undisturbed {theirs}"
    assert len(found) == len(expected), f"{len(found)} rows logged, undisturbed {len(expected)}"
    arrays, references = final_arrays(run_dir), final_arrays(reference)
    assert arrays.keys() == references.keys(), "the last checkpoint holds other arrays"
    for name, array in arrays.items():
        same = (
            array.dtype == references[name].dtype and array.tobytes() == references[name].tobytes()
        )
        assert same, f"{name} differs from the undisturbed run's"


def check_no_litter(run_dir: Path) -> None:
    """Checks that nothing half-written is left in a run directory."""
    litter = [path for path in run_dir.rglob("*") if ".tmp" in path.name]
    assert not litter, (
        f"left behind: {', '.join(str(path.relative_to(run_dir)) for path in litter)}"
    )


_references: dict[tuple, Path] = {}
_reference_folder: list[tempfile.TemporaryDirectory] = []


def reference(**flags: Any) -> Path:
    """Returns the run directory of an undisturbed training; each is made once in a process."""
    key = tuple(sorted(flags.items()))
    if key not in _references:
        if not _reference_folder:
            _reference_folder.append(tempfile.TemporaryDirectory(prefix="flowrate-reference-"))
        run_dir = Path(_reference_folder[0].name) / f"run-{len(_references)}"
        Training(run_dir, **flags).finish(timeout_seconds=3600)
        _references[key] = run_dir
    return _references[key]


def data_flags(dataset: str) -> dict[str, str]:
    """Returns the flags of a data set whose files are given."""
    if not DATA_DIR:
        pytest.skip(f"needs --data_dir with the files of {dataset}")
    own = Path(DATA_DIR) / dataset
    return {"dataset": dataset, "data_dir": str(own if own.is_dir() else DATA_DIR)}


def resumed_step(said: str) -> int | None:
    """Returns the step that a start resumed from, by its own words; None where it says none."""
    found = re.findall(r"resumed from step ([0-9,]+)", said)
    return int(found[-1].replace(",", "")) if found else None
