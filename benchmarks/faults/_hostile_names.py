"""Names that a shell, YAML, a page, a terminal or a spreadsheet would obey: each stays a name."""

from __future__ import annotations

import contextlib
import html.parser
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.faults._attempt import Attempt, NotHere, check
from benchmarks.faults._mistaken_places import make_places
from flowrate.errors import ConfigError
from flowrate.printable import one_line, printable
from trainer.evaluate import _class_table
from trainer.submit import kubernetes, local, slurm
from trainer.submit.config import SubmitConfig
from trainer.submit.job import Job, plan_job
from trainer.trained.predictions import Predictions

NAMES = (
    "a;touch pwned", "$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "'; touch pwned; '",
    "a && touch pwned", "a | touch pwned", "a > pwned", "a\\", "$HOME", "${IFS}touch", "!!", "*",
    "?", "~", "~root", "-rf", "--help", "#SBATCH --uid=0", "a b", " a", "a\tb", "a\nb", "a\rb",
    "\x1b[31mred", "\x1b]0;owned\x07", "!!python/object/apply:os.system [touch pwned]", "yes",
    "null", "1e3", "a: b # c", "- x", "&a *a", "{{x}}", "{% raw %}", "$(FLOWRATE_JOB)", "$$(HOME)",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><script>alert(1)",
    "' onmouseover='alert(1)", "javascript:alert(1)", "[red]x[/red]", "[/]", "[link=x]y",
    "=cmd|' /C calc'!A0", "%j", "%(x)s", "$x$", "$\\frac{$", "\u202egpj.exe", "\u00e9" * 60,
    "x" * 200, ":smile:",
)  # fmt: skip
# Stands in Python's place in job files: notes its words, and answers as they need it.
_RECORDER = """#!/bin/bash
{ printf '%s\\0' "$@"; printf '\\n\\0'; } >>"$RECORD"
echo 'exit 0'
"""
_SRUN = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
"$@"
"""


def attempts() -> list[Attempt]:
    """Returns an attempt for each place that names go to."""
    return [
        Attempt("hostile names in job files", _try_job_files),
        Attempt("hostile names in pods", _try_pods),
        Attempt("hostile names in a report and on a terminal", _try_report),
    ]


def _try_job_files(folder: Path) -> dict[str, float]:
    """Runs the job files of Slurm and of this machine with every name in a flag and a folder."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("recorder", _RECORDER), ("srun", _SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    found = {"hostile_names": 0, "refused": 0, "injections": 0}
    for number, name in enumerate(NAMES):
        for cluster in (slurm, local):
            work = folder / f"{number}-{cluster.__name__}"
            work.mkdir()
            found["hostile_names"] += 1
            job = _plan(cluster, name, work)
            if job is None:
                found["refused"] += 1
                continue
            _run_job(name, job, cluster, work, programs)
    return found


def _plan(cluster, name: str, work: Path) -> Job | None:
    """Returns the job, or None where the name is refused."""
    words = [f"--data_dir={name}", f"--run_dir=runs/{name}", "--dataset=image_folder"]
    with contextlib.suppress(ConfigError):
        config = SubmitConfig(cluster=cluster.__name__.rpartition(".")[2])
        job = plan_job(config, words, work)
        cluster.render(job)
        return job
    return None


def _run_job(name: str, job: Job, cluster, work: Path, programs: Path) -> None:
    recorder = str(programs / "recorder")
    text = cluster.render(job).replace(shlex.quote(sys.executable), shlex.quote(recorder))
    path = job.write_file(cluster.FILE_NAME, text)
    record = work / "record"
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}", "RECORD": str(record), "SLURM_JOB_ID": "1",
        "HOME": str(work),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(path)], cwd=work, env=environment, capture_output=True, text=True, timeout=60
    )
    check(done.returncode == 0, f"{name!r}: job file ended with {done.returncode}: {done.stderr}")
    calls = [call.split("\0")[:-1] for call in record.read_text().split("\n\0")]
    wanted = ["-m", "trainer.main", *job.tasks[0].flags]
    check(wanted in calls, f"{name!r}: the program got {calls}")
    made = {path.name for path in work.iterdir()} - {"record", "runs"}
    check(not made and not (job.folder / "pwned").exists(), f"{name!r}: made {made}")


def _try_pods(folder: Path) -> dict[str, float]:
    if not importlib.util.find_spec("yaml"):
        raise NotHere("needs PyYAML, which comes with kubernetes-validate")
    import yaml

    refused = 0
    for name in NAMES:
        config = SubmitConfig(cluster="kubernetes", image="a", volume_claim="runs")
        words = [f"--data_dir=/runs/{name}", f"--run_dir=/runs/{name}", "--dataset=image_folder"]
        try:
            job = plan_job(config, words, folder)
            objects = list(yaml.safe_load_all(kubernetes.render(job)))
        except ConfigError:
            refused += 1
            continue
        commands = [words for each in objects for words in _commands(each)]
        flags = list(job.tasks[0].flags)
        got = [[_expand(word) for word in words[3:][: len(flags)]] for words in commands]
        check(flags in got, f"{name!r}: the pods get {got}")
    check(refused < len(NAMES) / 2, f"{refused} of the names are refused")
    return {"hostile_names": len(NAMES), "refused": refused, "injections": 0}


def _expand(text: str) -> str:
    """Returns what Kubernetes makes of a word: $(NAME) is a variable, $$ is a dollar."""
    return re.sub(r"\$(\$|\([^)]*\))", lambda found: "$" if found[1] == "$" else "HIT", text)


def _commands(value) -> list[list[str]]:
    """Returns every `command` in an object of Kubernetes."""
    if isinstance(value, dict):
        own = [value["command"]] if isinstance(value.get("command"), list) else []
        return own + [found for each in value.values() for found in _commands(each)]
    if isinstance(value, list):
        return [found for each in value for found in _commands(each)]
    return []


def _try_report(folder: Path) -> dict[str, float]:
    """Writes the report of a run whose classes have the names: its tags are a plain one's."""
    shown = [name for name in NAMES if name.isprintable()]
    pages = [
        _report(folder / "hostile", shown, "<script>alert(1)<"),
        _report(folder / "plain", [f"class {number}" for number in range(len(shown))], "plain"),
    ]
    hostile, plain = (_Tags.of(page) for page in pages)
    check(hostile == plain, f"the page has other tags: {set(hostile) ^ set(plain)}")
    row = {"examples": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    figures = {
        "classes": [{"name": name, **row} for name in shown],
        "confusion_matrix": np.roll(np.eye(len(shown), dtype=int), 1, axis=1).tolist(),
    }
    text = io.StringIO()
    Console(file=text, force_terminal=True, width=1000).print(_class_table(figures))
    for name in shown:
        check(name in text.getvalue(), f"{name!r} is shown as something else")
    check("\x1b]8" not in text.getvalue(), "a name became a link of the terminal")
    for name in NAMES:
        check(one_line(name).isprintable() and printable(name).isprintable(), f"{name!r} is obeyed")
    return {"hostile_names": len(NAMES), "injections": 0}


def _report(folder: Path, class_names: list[str], run_name: str) -> str:
    """Returns the report of a run."""
    (folder / "places").mkdir(parents=True)
    make_places(folder / "places")
    run = (folder / "places" / "run").rename(folder / run_name)
    plan = json.loads((run / "plan.json").read_text())
    plan["data"]["class_names"] = class_names
    (run / "plan.json").write_text(json.dumps(plan))
    count = len(class_names)
    logits = np.roll(np.eye(count, dtype=np.float32), 1, axis=1)
    images = np.zeros((count, 8, 8, 1), np.uint8)
    labels = np.arange(count, dtype=np.int32)
    Predictions.from_logits(logits, labels, lambda indices: images[indices]).save(run)
    command = [sys.executable, "-m", "trainer.report", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    check(done.returncode == 0, f"report: {done.stderr[-500:]}")
    return (run / "report.html").read_text()


class _Tags(html.parser.HTMLParser):
    """The tags of a page, each with the names of its attributes, in order."""

    @classmethod
    def of(cls, page: str) -> list[tuple[str, ...]]:
        self = cls()
        self.found: list[tuple[str, ...]] = []
        self.feed(page)
        return self.found

    def handle_starttag(self, tag, attributes):
        if tag in ("path", "use", "g", "defs"):  # Of drawings: letters have shapes of their own.
            return
        self.found.append((tag, *(name for name, _ in attributes)))
