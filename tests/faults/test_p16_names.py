"""P16: names that a shell, YAML, a page or a terminal would obey: each stays a name."""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.tools.places import make_places
from faults.tools.runs import environment
from rich.console import Console

from flowrate.errors import ConfigError
from flowrate.text import one_line, printable
from trainer.evaluate import class_table
from trainer.submit import kubernetes, local, slurm
from trainer.submit.config import SubmitConfig
from trainer.submit.job import Job, plan_job
from trainer.trained.predictions import Predictions

NAMES = (
    "a;touch pwned", "$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "'; touch pwned; '",
    "a && touch pwned", "a > pwned", "a\\", "$HOME", "${IFS}touch", "!!", "*", "~", "-rf", "--help",
    "#SBATCH --uid=0", " a b", "a\tb", "a\nb", "\x1b[31mred", "\x1b]0;owned\x07", "yes", "null",
    "!!python/object/apply:os.system [touch pwned]", "a: b # c", "&a *a", "{{x}}", "{% raw %}",
    "$(FLOWRATE_JOB)", "$$(HOME)", "<script>alert(1)</script>", "</title><script>alert(1)",
    '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "[red]x[/red]", "[link=x]y",
    "=cmd|' /C calc'!A0", "%j", "$\\frac{$", "\u202egpj.exe", "x" * 200,
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


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [slurm, local], ids=["slurm", "local"])
def test_in_job_files_that_are_run(cluster, tmp_path, record):
    """Every name stands in a flag and is a folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("recorder", _RECORDER), ("srun", _SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for number, name in enumerate(NAMES):
        work = tmp_path / str(number)
        work.mkdir()
        job = _plan(cluster, name, work)
        if job:
            _run_job(name, job, cluster, work, programs)
        record(hostile_names=1, refused=int(job is None), injections=0)


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
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}", "RECORD": str(record), "SLURM_JOB_ID": "1",
        "HOME": str(work),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(path)], cwd=work, env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{name!r}: job file ended with {done.returncode}: {done.stderr}"
    calls = [call.split("\0")[:-1] for call in record.read_text().split("\n\0")]
    wanted = ["-m", "trainer.main", *job.tasks[0].flags]
    assert wanted in calls, f"{name!r}: the program got {calls}"
    made = {path.name for path in work.iterdir()} - {"record", "runs"}
    assert not made, name
    assert not (job.folder / "pwned").exists(), name


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_in_pods(name, tmp_path, record):
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with kubernetes-validate")
    config = SubmitConfig(cluster="kubernetes", image="a", volume_claim="runs")
    words = [f"--data_dir=/runs/{name}", f"--run_dir=/runs/{name}", "--dataset=image_folder"]
    refused = 0
    try:
        job = plan_job(config, words, tmp_path)
        objects = list(yaml.safe_load_all(kubernetes.render(job)))
        commands = [words for each in objects for words in _commands(each)]
        flags = list(job.tasks[0].flags)
        got = [[_expand(word) for word in words[3:][: len(flags)]] for words in commands]
        assert flags in got
    except ConfigError:
        refused = 1
    record(hostile_names=1, refused=refused, injections=0)


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


_SHOWN = [name for name in NAMES if name.isprintable()]


@pytest.mark.slow
def test_as_classes_in_a_report(tmp_path, record):
    """Its tags are those of a report about plain names."""
    hostile = _report(tmp_path / "hostile", _SHOWN, "<script>alert(1)<")
    plain = _report(tmp_path / "plain", [f"class {number}" for number in range(len(_SHOWN))], "run")
    assert _Tags.of(hostile) == _Tags.of(plain)
    record(hostile_names=len(_SHOWN), injections=0)


def test_on_a_terminal():
    row = {"examples": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    figures = {
        "classes": [{"name": name, **row} for name in _SHOWN],
        "confusion_matrix": np.roll(np.eye(len(_SHOWN), dtype=int), 1, axis=1).tolist(),
    }
    text = io.StringIO()
    Console(file=text, force_terminal=True, width=1000).print(class_table(figures))
    assert all(name in text.getvalue() for name in _SHOWN)
    assert "\x1b]8" not in text.getvalue(), "a name became a link of the terminal"
    assert all(one_line(name).isprintable() and printable(name).isprintable() for name in NAMES)


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
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"report: {done.stderr[-500:]}"
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
