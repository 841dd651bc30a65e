"""`python -m trainer.evaluate`: the figures that training reported, of any split and checkpoint."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flowrate.records import read_json, read_json_lines, write_json
from trainer import evaluate

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=cwd, capture_output=True, text=True,
        timeout=240, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def evaluated(folder: Path, *flags: str) -> dict:
    done = run("trainer.evaluate", str(folder), "--json", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run with averaged weights, a validation split and a checkpoint for each evaluation."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    done = run(
        "trainer.main", "--model=mlp64", "--steps=80", "--evaluate_every_steps=40",
        "--checkpoint_every_steps=40", "--validation_examples=137", "--ema_decay=0.9",
        f"--run_dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_test_split_as_result_json_has_it(trained):
    found, result = evaluated(trained), read_json(trained / "result.json")
    for name in ("accuracy", "loss", "examples"):
        assert found[name] == result[f"test_{name}"]
    assert found["step"] == 80
    counts = np.array(found["confusion_matrix"])
    assert counts.sum() == 360
    assert np.trace(counts) == round(found["accuracy"] * 360)
    for index, row in enumerate(found["classes"]):
        assert row["examples"] == counts[index].sum()
        assert row["recall"] == pytest.approx(counts[index, index] / counts[index].sum())
        assert row["precision"] == pytest.approx(counts[index, index] / counts[:, index].sum())
    assert found["macro_f1"] == pytest.approx(np.mean([row["f1"] for row in found["classes"]]))
    assert found["accuracy"] < found["top_5_accuracy"] <= 1


@pytest.mark.parametrize("step", [40, pytest.param(80, marks=pytest.mark.slow)])
def test_an_earlier_checkpoint_on_the_validation_split(trained, step):
    rows = read_json_lines(trained / "metrics.jsonl")
    (reported,) = (row for row in rows if row["kind"] == "evaluation" and row["step"] == step)
    found = evaluated(trained, "--split=validation", f"--checkpoint={step}")
    assert (found["accuracy"], found["loss"]) == (reported["accuracy"], reported["loss"])
    assert found["examples"] == reported["examples"] == 137


@pytest.mark.slow
def test_other_replicas_give_the_same_within_rounding(trained):
    one = evaluated(trained)
    shutil.copytree(trained, trained.with_name("copy"), dirs_exist_ok=True)
    config = trained.with_name("copy") / "config.json"
    write_json(config, read_json(config) | {"strategy": "mirrored", "virtual_devices": 4})
    four = evaluated(config.parent)
    assert four["accuracy"] == one["accuracy"]
    assert four["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert evaluated(config.parent, "--strategy=one_device") == {
        **one,
        "run_dir": str(config.parent),
    }


def test_the_table_names_each_class(trained):
    done = run("trainer.evaluate", str(trained))
    assert done.returncode == 0, done.stderr
    assert f"accuracy  {read_json(trained / 'result.json')['test_accuracy']:.4f}" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines if line and line[0].isdigit()] == list("0123456789")


REFUSED = {
    "another split": (["--split=dev"], "--split=dev: the data set has train, test, validation."),
    "no such step": (["--checkpoint=7"], "--checkpoint=7: "),
    "no such word": (["--checkpoint=worst"], "--checkpoint=worst: give final, best, latest"),
    "other classes": (["--dataset=synthetic"], "the data set"),
}


def test_names_that_look_like_markup_are_shown_as_they_are():
    names = ("[/red]", "[bold]b", "[link=http://x]y[/link]", ":smile:")
    row = {"examples": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    found = {
        "classes": [{"name": name, **row} for name in names],
        "confusion_matrix": np.roll(np.eye(len(names), dtype=int), 1, axis=1).tolist(),
    }
    text = io.StringIO()
    Console(file=text, width=200).print(evaluate.class_table(found))
    assert all(text.getvalue().count(name) == 2 for name in names)


@pytest.mark.parametrize(("flags", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_one_line(trained, flags, message):
    done = run("trainer.evaluate", str(trained), *flags)
    assert done.returncode in (2, 3)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize("words", [[], ["one", "two"]])
def test_one_run_directory(words, capsys):
    assert evaluate.main(["evaluate", *words]) == 2
    assert f"error: give one run directory, not {len(words)}" in capsys.readouterr().err
