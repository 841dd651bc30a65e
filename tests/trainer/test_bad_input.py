"""Run directories that cannot be used, `--help` and flag files, as real processes.

Where a mistake can be seen without TensorFlow it must be: there a package that ends the process
when it is imported stands in TensorFlow's place. Most mistakes are in tests/faults/mistakes.txt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.options import described_fields
from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_TENSORFLOW = 99


@pytest.fixture
def without_tensorflow(trainer_main, tmp_path_factory):
    """Returns a function: runs the command where importing TensorFlow ends the process with 99."""
    folder = tmp_path_factory.mktemp("poison")
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(f"raise SystemExit({IMPORTED_TENSORFLOW})\n")

    def run(*flags: str, **environment: str) -> subprocess.CompletedProcess:
        path = os.pathsep.join([str(folder), str(ROOT)])
        return trainer_main(*flags, **{"PYTHONPATH": path, **environment})

    return run


def assert_refused(done: subprocess.CompletedProcess, exit_code: int, *words: str) -> None:
    assert done.returncode == exit_code, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def test_the_poison_works(without_tensorflow):
    """A command without a mistake does import TensorFlow, so these tests can fail.

    So can those of tests/faults/mistakes.txt.
    """
    assert without_tensorflow("--steps=1").returncode == IMPORTED_TENSORFLOW


def test_a_run_directory_in_use(without_tensorflow, tmp_path):
    program = (
        "import sys; from trainer.config import TrainConfig; "
        "from trainer.run_dir.folder import RunDir; "
        "run = RunDir.open(TrainConfig(run_dir='run'), print); print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"\n"
        done = without_tensorflow("--run_dir=run")
        assert_refused(done, 2, f"--run_dir={tmp_path}/run is in use by pid {holder.pid} on ")
    finally:
        holder.communicate(b"")
    assert os.listdir(tmp_path / "run") == ["lock"]
    assert without_tensorflow("--run_dir=run").returncode == IMPORTED_TENSORFLOW


# --- help and flag files ----------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_tensorflow_and_leaves_nothing(without_tensorflow, tmp_path, flag):
    done = without_tensorflow(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m trainer.main" in done.stdout
    assert "--flagfile=FILE" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert os.listdir(tmp_path) == []


def test_help_is_grouped_and_tells_all_of_every_flag(without_tensorflow):
    text = without_tensorflow("--help").stdout
    fields = described_fields(TrainConfig)
    groups = list(dict.fromkeys(option.group for _, option, _ in fields))
    assert len(groups) == 5
    places = [text.index(f"\n\n{group}:\n") for group in groups]
    assert places == sorted(places)
    entries = text.split("\n  --")[1:]
    assert len(entries) == len(fields)
    for entry, (field, option, _) in zip(entries, fields):
        entry = " ".join(entry.split("\n\n")[0].split())
        assert entry.startswith(field.name)
        assert option.help in entry
        if option.alias:
            assert f"(or --{option.alias})" in entry
        default = "unset" if field.default is None else field.default
        assert f"default: {default}" in entry
        for choice in option.list_choices():
            assert choice in entry.split("one of: ")[1]
        for bound in (option.lower_bound, option.upper_bound):
            assert bound is None or f"{bound:.10g}" in entry.split("[")[-1]


def test_help_names_the_data_sets_and_models_there_are(without_tensorflow):
    from input_pipelines.datasets import DATASETS
    from models import MODELS

    words = without_tensorflow("--help").stdout.split()
    for name in [*DATASETS.spellings(), *MODELS.spellings()]:
        assert any(word.strip(",.") == name for word in words), name


def test_a_flagfile_is_read_in_its_place(without_tensorflow, tmp_path):
    (tmp_path / "flags.txt").write_text("# a comment\n--epochs=3\n\n--seed=-7\n")
    assert_refused(without_tensorflow("--flagfile=flags.txt"), 2, "--seed=-7: must be between")
    # Later flags win.
    done = without_tensorflow("--flagfile=flags.txt", "--seed=7", "--steps=5")
    assert_refused(done, 2, "--epochs=3 and --steps=5 both say how long")
    assert os.listdir(tmp_path) == ["flags.txt"]
