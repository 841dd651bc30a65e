"""The promises by number, the records of what was tried for them, and the table of both."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from faults.tools.sizes import FULL

from flowrate.environment import describe_environment
from flowrate.records import read_json_lines

ROOT = Path(__file__).resolve().parents[3]
RECORDS = ROOT / "results" / "cpu-2-cores-faults" / "records.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
# By number: the case, as the records have it, and the promise in a line.
TITLES = {
    "P1": ("kills", "killed at any moment, a run resumes from its last checkpoint and ends with "
                    "the same bits (P1, P2)"),
    "P3": ("save_boundaries", "killed at any system call of a save, a whole checkpoint is left, "
                              "and no litter"),
    "P4": ("damage", "a damaged checkpoint is noticed and named, and the one before is used; "
                     "never step 0"),
    "P5": ("command_lines", "a mistake is answered by one line and the right status, at once, "
                            "and leaves nothing behind"),
    "P6": ("bad_images", "bad images are all named in one pass, or skipped with the same bits "
                         "as if deleted"),
    "P7": ("signals", "a signal in any phase saves and ends the run within 10 s, with status "
                      "143; no step is lost"),
    "P8": ("lost_workers", "a lost worker is named within 30 s; all restart and end with the "
                           "same bits"),
    "P9": ("missing_workers", "a worker that does not come is named, with its address, at "
                              "--bringup_timeout"),
    "P10": ("disk_full", "a full disk ends no training at once: it is reported, tried again, "
                         "and costs no checkpoint"),
    "P11": ("divergence", "training that diverges stops within 50 steps; no checkpoint holds a "
                          "number not finite"),
    "P12": ("save_cost", "saves at the default interval cost at most 3.5 % of the time; a slow "
                         "disk has longer ones"),
    "P13": ("soak", "killed every minute for half an hour, a run reports truly what that cost, "
                    "and ends the same"),
    "P14": ("partial_batches", "whatever is left over of a batch, 1, 2 and 4 replicas compute "
                               "the same within 0.000001"),
    "P15": ("memory", "no image file of 1 MiB takes 300 MB; memory does not grow; a run killed "
                      "for it resumes"),
    "P16": ("security", "nothing from outside is executed, leaves its folder or shows a secret; "
                        "no port is opened"),
    "P17": ("replicas", "killed and resumed on another number of replicas, a run computes the "
                        "same"),
}  # fmt: skip
_COUNTS = ("attempts", "attempts_kept", "attempts_not_here")
_UNITS = {"seconds": "s", "mebibytes": "MiB"}


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One test: its outcome as pytest names it, and the figures that it noted."""

    name: str
    outcome: str
    reason: str
    figures: dict[str, float]
    seconds: float


def merged(figures: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Returns figures by name: sums, and the largest of what is a time, a size or a `most_`."""
    found: dict[str, float] = {}
    for name, value in figures:
        found[name] = _both(name, found[name], value) if name in found else value
    return found


def metrics(attempts: Iterable[Attempt]) -> dict[str, float]:
    """Returns the figures of all."""
    return merged(pair for attempt in attempts for pair in attempt.figures.items())


def _both(name: str, before: float, value: float) -> float:
    if name.startswith("least_"):
        return min(before, value)
    if name.startswith("most_") or name.endswith(("_seconds", "_mebibytes", "_share")):
        return max(before, value)
    return before + value


def in_words(figures: dict[str, float]) -> str:
    """Returns figures as a line has them: `kills 25, most resume 8.1 s`."""
    return ", ".join(_said(name, value) for name, value in figures.items() if name not in _COUNTS)


def _said(name: str, value: float) -> str:
    *words, last = name.split("_")
    if last == "share":
        return f"{' '.join(words)} {100 * value:.1f} %"
    return " ".join([*words, _number(value), _UNITS[last]] if last in _UNITS
                    else [*words, last, _number(value)])  # fmt: skip


def _number(value: float) -> str:
    if float(value).is_integer() or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def write(attempts: dict[str, list[Attempt]], seed: int) -> None:
    """Appends a row for each promise that was tried, and renews the table."""
    facts = {"schema_version": 1, **describe_environment([])}
    facts["command"] = f"scripts/faults {' '.join(attempts)}{' --full' * FULL}"
    del facts["working_directory"]
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    environment = {"kind": "environment", **facts, "environment_id": identity, "started_at": now}
    shared = {"kind": "result", "schema_version": 1, "environment_id": identity, "suite": "faults",
              "seed": seed, "started_at": now, "command": facts["command"]}  # fmt: skip
    with RECORDS.open("a") as file:
        for row in (environment, *(shared | _row(*pair) for pair in attempts.items())):
            file.write(json.dumps(row) + os.linesep)
    PAGE.write_text(with_table(PAGE.read_text(), read_json_lines(RECORDS)))


def _row(number: str, attempts: Sequence[Attempt]) -> dict[str, Any]:
    case, title = TITLES[number]
    tried = [attempt for attempt in attempts if attempt.outcome != "skipped"]
    broken = [f"{each.name}: {each.reason}" for each in tried if each.outcome == "failed"]
    return {
        "case": case,
        "labels": {"promise": number, "title": title},
        "wall_seconds": sum(attempt.seconds for attempt in attempts),
        "status": "failed" if broken else "ok" if tried else "skipped",
        "error": "; ".join(broken)[:2000] or None,
        "metrics": {
            "attempts": len(tried),
            "attempts_kept": len(tried) - len(broken),
            "attempts_not_here": len(attempts) - len(tried),
            **metrics(tried),
        },
    }


def with_table(page: str, rows: Sequence[dict[str, Any]]) -> str:
    """Returns a page with the newest row of each promise between the table's markers."""
    newest = {row["case"]: row for row in rows if row["kind"] == "result"}
    machines = {row["environment_id"]: row for row in rows if row["kind"] == "environment"}
    lines = ["| | promise | kept | what was seen | time |", "|---|---|---:|---|---:|"]
    for number, (case, title) in TITLES.items():
        if case in newest:
            row = newest[case]
            found = row["metrics"]
            kept = f"{found['attempts_kept']:,} of {found['attempts']:,}"
            broken = " **broken**" if row["status"] == "failed" else ""
            lines.append(f"| {number} | {title} | {kept}{broken} | {in_words(found)} | "
                         f"{row['wall_seconds']:,.0f} s |")  # fmt: skip
    used = [machines[row["environment_id"]] for row in newest.values()]
    days = sorted({row["started_at"][:10] for row in newest.values()})
    cpus = sorted({f"{each['cpu']['model']} with {each['cpu']['count']} cores" for each in used})
    versions = sorted({f"TensorFlow {each['versions']['tensorflow']}" for each in used})
    commits = sorted({each["commit"][:12] for each in used if each["commit"]})
    lines += ["", f"Measured {' to '.join({days[0]: 0, days[-1]: 0})}: {'; '.join(cpus)}; "
              f"{', '.join(versions)}; commit {', '.join(commits)}."]  # fmt: skip
    table = "\n".join(lines)
    return re.sub(
        r"(<!-- table: faults -->\n).*?(?=<!-- end: faults -->)",
        lambda found: f"{found[1]}{table}\n",
        page,
        flags=re.DOTALL,
    )
