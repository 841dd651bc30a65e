"""Programs of one command: an exit status, and one line for a mistake."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import DataError
from flowrate.options import option

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import dataclasses, sys, time
from flowrate import options
from flowrate.command import run_command
from flowrate.options import option

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    count: int = option(1, group="G", help="How many.")

def act(config, words):
    print("ready", flush=True)
    for _ in range(config.count):
        print(" ".join(words) * 1000)
    time.sleep(60 if "wait" in words else 0)

sys.exit(run_command(sys.argv, Config, "Says words.", act))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    size: int = option(1, group="Group", lower_bound=1, help="How large.")
    loud: bool = option(False, group="Group", help="How loud.")

    def __post_init__(self):
        options.check(self)


def run(*words: str, action=lambda config, words: None) -> int:
    return run_command(["program", *words], Config, "Does things.", action)


def test_flags_and_words_in_any_order():
    seen = []
    assert run("a b", "--size=3", "c", "--loud", action=lambda *given: seen.extend(given)) == 0
    assert seen == [Config(size=3, loud=True), ["a b", "c"]]


def test_after_two_dashes_all_are_words():
    seen = []
    assert run("--size=2", "--", "--size=3", "-x", action=lambda _, w: seen.extend(w)) == 0
    assert seen == ["--size=3", "-x"]


def test_the_words_of_another_program(capsys):
    seen = []

    def run_other(*words: str) -> int:
        return run_command(
            ["program", *words], Config, "Does things.", lambda *given: seen.extend(given),
            after_dashes="flags of another",
        )  # fmt: skip

    assert run_other("--size", "2", "--", "--size=3", "-x") == 0
    assert seen == [Config(size=2), ["--size=3", "-x"]]
    assert run_other("--length=3") == 2
    assert "--length: no such flag" in (said := capsys.readouterr().err)
    assert "flags of another after `--`" in said
    assert run_other("--length=3", "--") == run_other("word", "--") == 2
    assert "after `--`" not in capsys.readouterr().err


def test_the_status_is_the_action_s():
    assert run(action=lambda *_: 4) == 4
    assert run(action=lambda *_: None) == 0


def test_help(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Does things.")
    assert "--size" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--sise=2"], "error: --sise: no such flag. Did you mean 'size'? See --help."),
     (["--size=0"], "error: --size=0: must be at least 1."),
     (["--size"], "error: --size: no value; write it as --size=VALUE.")],
)  # fmt: skip
def test_a_wrong_flag(capsys, words, message):
    assert run(*words) == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_an_error_is_one_line(capsys):
    def act(*_):
        raise DataError("a file\nof two lines")

    assert run(action=act) == 3
    assert capsys.readouterr().err == "error: a file of two lines\n"


def test_an_error_of_the_program_shows_where(capsys):
    def act(*_):
        raise ZeroDivisionError("of course")

    assert run(action=act) == 7
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("error: an error of the program itself: ZeroDivisionError.\n")


def start(*words: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=os.environ, **options,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def test_ctrl_c():
    process = start("wait")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert (process.returncode, shown) == (130, "stopped.\n")


def test_a_reader_that_leaves():
    """As with `| head -1`."""
    process = start("words", "--count=1000")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
