"""Runs cases, each repeat in a fresh process, and writes a row as each ends.

Repeats go round all cases before the next round begins, so that a machine that changes while it is
measured changes for all. What the folder holds already is not run again: a suite that was broken
off goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.util
import json
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.case import DEFAULT_BATCH_SIZE, BenchmarkCase
from benchmarks.contenders import peer as peer_runs
from benchmarks.contenders import startup as startup_runs
from benchmarks.contenders import worker as worker_runs
from benchmarks.machine import health
from benchmarks.machine.processes import Failure, run_to_end
from benchmarks.measure import batch_search
from benchmarks.records import RECORDS_NAME, SCHEMA_VERSION
from flowrate.environment import describe_environment, list_gpus
from flowrate.errors import BusyMachineError
from flowrate.records import append_json_lines, disk_errors, read_json, read_json_lines
from flowrate.secrets import masked

# How a case's process is started and what it writes is read, where it is not the worker.
_KINDS = {"peer": peer_runs, "startup": startup_runs, "import_and_trace": startup_runs}
_SKIP_AGAIN = ("ok", "skipped", "out_of_memory")


class Runner:
    """Fills a results folder.

    Args:
        folder: where records.jsonl lies or will.
        argv: the command line, for the record.
        strict: refuse a row that was measured beside other work.
        tell: takes a line for the user.
        find_batch: look for the largest batch that fits where a case runs out of memory.
    """

    def __init__(
        self,
        folder: Path,
        argv: list[str],
        strict: bool,
        tell: Callable[[str], None],
        find_batch: bool = False,
    ):
        self._path = folder / RECORDS_NAME
        self._strict = strict
        self._find_batch = find_batch
        self._tell = tell
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._done = {
            (row["suite"], row["case"], row["contender"], row["repeat"])
            for row in read_json_lines(self._path)
            if row.get("kind") == "result" and row["status"] in _SKIP_AGAIN
        }
        self._environment_id = self._write_environment(argv)

    def run(self, cases: Iterable[BenchmarkCase], repeats: int) -> None:
        """Runs every case so many times; a case that fails becomes a row with its reason.

        Raises:
            DiskError: a row cannot be written.
            BusyMachineError: `strict`, and something else used the machine.
        """
        cases = list(cases)
        for repeat in range(repeats):
            for number, case in enumerate(cases, start=1):
                key = (case.suite, case.name, case.contender, repeat)
                if key in self._done:
                    continue
                place = f"repeat {repeat + 1}/{repeats}, case {number}/{len(cases)}"
                row = self._run_and_write(case, repeat, place)
                if row["status"] == "out_of_memory" and self._find_batch and case.kind == "rate":
                    self._run_largest_batch(case, repeat, place)

    def _run_and_write(self, case: BenchmarkCase, repeat: int, place: str) -> dict[str, Any]:
        row = self._run_once(case, repeat)
        if self._strict and row["health"]["noisy"]:
            raise BusyMachineError(
                f"--strict: {case.name} was measured on a busy machine "
                f"({'; '.join(row['health']['reasons'])}); stop what else runs and start again: "
                "the rows so far are kept."
            )
        append_json_lines(self._path, [row])
        self._tell(f"{place}: {describe_row(row)}")
        return row

    def _run_largest_batch(self, case: BenchmarkCase, repeat: int, place: str) -> None:
        """Measures the case once more, under its own name, with the largest batch that fits."""

        def fits(batch_size: int) -> bool:
            tried = batch_search.with_batch(case, batch_size, seconds=0.1)
            return measure(tried, seed=repeat)["status"] == "ok"

        asked = case.flags.get("global_batch_size", DEFAULT_BATCH_SIZE)
        largest = batch_search.largest_that_fits(fits, asked)
        if largest:
            self._run_and_write(batch_search.with_batch(case, largest), repeat, place)

    def _run_once(self, case: BenchmarkCase, repeat: int) -> dict[str, Any]:
        started_at = now()
        before = health.take_snapshot()
        started = time.perf_counter()
        answer = measure(case, seed=repeat)
        wall_seconds = time.perf_counter() - started
        return {
            "kind": "result",
            "schema_version": SCHEMA_VERSION,
            "environment_id": self._environment_id,
            "suite": case.suite,
            "case": case.name,
            "contender": case.contender,
            "repeat": repeat,
            "seed": repeat,
            "labels": {},
            "command": case.trainer_command(repeat),
            "started_at": started_at,
            "wall_seconds": wall_seconds,
            "metrics": {},
            "samples": {},
            "phases": {},
            "verdict": None,
            "health": health.describe(before, health.take_snapshot()),
            **answer,
        }

    def _write_environment(self, argv: list[str]) -> str:
        facts = describe_environment(argv, packages=peer_runs.PACKAGES)
        facts["devices"] = [{"name": name} for name in list_gpus()]
        # What anybody can type; where this checkout and its Python lie says nothing.
        facts["command"] = masked(shlex.join(["python", "-m", *argv]))
        del facts["working_directory"]
        identity = {name: value for name, value in facts.items() if name != "command"}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        known = {row.get("environment_id") for row in read_json_lines(self._path)}
        if digest not in known:
            row = {
                "kind": "environment",
                "schema_version": SCHEMA_VERSION,
                "environment_id": digest,
                **facts,
                "started_at": now(),
            }
            append_json_lines(self._path, [row])
        return digest


def measure(case: BenchmarkCase, seed: int) -> dict[str, Any]:
    """Measures a case in a process of its own; returns its part of a row, also of a failure."""
    with tempfile.TemporaryDirectory(prefix="flowrate-benchmark-") as folder:
        # The name under which a run leaves its own result.
        answer_path = Path(folder) / "result.json"
        kind = _KINDS.get(case.kind, worker_runs)
        command = _missing_packages(case) or kind.command(case, seed, answer_path)
        if isinstance(command, str):  # Why there is none.
            return {"status": "skipped", "error": command}
        started = time.perf_counter()
        failure = run_to_end(command, case.timeout_seconds)
        wall_seconds = time.perf_counter() - started
        if not answer_path.exists():
            failure = failure or Failure("failed", "the process wrote no answer")
            return dataclasses.asdict(failure)
        return kind.as_row(case, seed, read_json(answer_path), wall_seconds)


def describe_row(row: dict[str, Any]) -> str:
    """Returns a line for the user."""
    metrics, name = row["metrics"], f"{row['case']} {row['contender']}"
    if row["status"] != "ok":
        return f"{name}: {row['status']}: {row['error']}"
    shown = [
        f"{metrics[key]:,.4g} {unit}"
        for key, unit in (
            ("steps_per_second", "steps/s"), ("images_per_second", "images/s"),
            ("first_step_seconds", "s to the first step"),
            ("seconds_to_target", "s to the target"), ("test_accuracy", "test accuracy"),
            ("efficiency", "of the limit"), ("exchange_share", "of a step in the exchange"),
            ("bus_gigabytes_per_second", "GB/s"), ("agreeing_decimals", "decimals agree"),
        )
        if key in metrics
    ]  # fmt: skip
    noisy = f"  NOISY: {'; '.join(row['health']['reasons'])}" if row["health"]["noisy"] else ""
    return f"{name}: {', '.join(shown)}, {row['wall_seconds']:.1f} s{noisy}"


def now() -> str:
    """Returns the time, ISO 8601, UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _missing_packages(case: BenchmarkCase) -> str | None:
    """Returns, in words, which packages the case needs and has not; None where it has all."""
    needs = case.arguments.get("needs", ())
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: pip install -e .[peers]" if missing else None
