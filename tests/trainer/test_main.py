"""The command as people type it: what it prints and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowrate.records import read_json, read_json_lines

ROOT = Path(__file__).resolve().parents[2]
RESULT_FIELDS = {
    "schema_version": int, "status": str, "dataset": str, "model": str, "strategy": str,
    "num_workers": int, "num_replicas": int, "exchange_share": type(None),
    "global_batch_size": int, "global_step": int, "epochs": float,
    "train_accuracy": float, "train_loss": float, "test_accuracy": float, "test_loss": float,
    "test_examples": int, "skipped_images": int,
    "steps_per_second": float, "examples_per_second": float,
    "seconds": dict, "best_evaluation": dict, "num_parameters": int, "precision": str,
    "weights": type(None),
    "jit": bool, "cache": str, "first_step_seconds": float, "num_rollbacks": int, "num_starts": int,
    "effective_training_share": float, "planned_steps": int, "majority_accuracy": float,
    "train_accuracy_evaluated": float | None, "train_examples_evaluated": int | None,
    "warnings": list,
}  # fmt: skip
PHASES = {"import", "data", "build", "compile", "train", "input_wait", "log", "evaluate",
          "checkpoint", "report"}  # fmt: skip
METRIC_FIELDS = {
    "train": {"schema_version", "kind", "step", "epoch", "loss", "accuracy", "learning_rate",
              "gradient_norm", "steps_per_second", "examples_per_second", "warmup"},
    "evaluation": {"schema_version", "kind", "step", "epoch", "split", "loss", "accuracy",
                   "examples"},
    "checkpoint": {"schema_version", "kind", "step", "seconds", "cpu_seconds"},
}  # fmt: skip


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    """`python -m trainer.main` with no flags, in an empty folder; (process, run directory)."""
    folder = tmp_path_factory.mktemp("user")
    process = subprocess.run(
        [sys.executable, "-m", "trainer.main"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    (run_dir,) = (folder / "runs").iterdir()
    return process, run_dir


def test_no_flags_trains_digits_well(default_run):
    result = read_json(default_run[1] / "result.json")
    assert (result["status"], result["dataset"], result["model"]) == ("completed", "digits", "cnn")
    assert result["test_accuracy"] > 0.95
    assert result["test_examples"] == 360


def test_result_has_its_schema(default_run):
    result = read_json(default_run[1] / "result.json")
    assert result.keys() == RESULT_FIELDS.keys()
    for name, kind in RESULT_FIELDS.items():
        assert isinstance(result[name], kind), name
    assert result["seconds"].keys() == PHASES
    assert all(value >= 0 for value in result["seconds"].values())
    speed = result["steps_per_second"]
    assert result["examples_per_second"] == pytest.approx(speed * result["global_batch_size"])


def test_metrics_have_their_schema(default_run):
    rows = read_json_lines(default_run[1] / "metrics.jsonl")
    assert {row["kind"] for row in rows} == METRIC_FIELDS.keys()
    for row in rows:
        assert row.keys() == METRIC_FIELDS[row["kind"]]
    assert [r["step"] for r in rows if r["kind"] == "evaluation"] == list(range(45, 451, 45))


def test_the_schema_is_documented(default_run):
    text = (ROOT / "docs" / "records.md").read_text()
    names = {name for fields in METRIC_FIELDS.values() for name in fields}
    for name in sorted(RESULT_FIELDS.keys() | PHASES | names):
        assert f"`{name}`" in text, name


def test_the_run_directory_is_complete(default_run):
    _, run_dir = default_run
    for name in ("config.json", "plan.json", "environment.json", "metrics.jsonl", "result.json",
                 "model.keras", "checkpoints", "tensorboard"):  # fmt: skip
        assert (run_dir / name).exists(), name
    environment = read_json(run_dir / "environment.json")
    assert environment["versions"]["tensorflow"]
    assert environment["devices"]
    assert environment["cpu"]["count"] >= 1
    assert "-m trainer.main" in environment["command"]
    assert read_json(run_dir / "plan.json")["total_steps"] == 450


def test_the_terminal_shows_the_run_and_nothing_else(default_run):
    process, run_dir = default_run
    assert process.stderr == ""
    assert re.search(r"^step 100/450  epoch 2\.23  loss \d\.\d{4}", process.stdout, re.MULTILINE)
    assert "test accuracy" in process.stdout
    assert str(run_dir / "result.json") in process.stdout
    assert f"tensorboard --logdir {run_dir}/tensorboard" in process.stdout
    for chatter in ("WARNING", "cuda", "oneDNN", "I0000", "\x1b["):
        assert chatter not in process.stdout


def test_the_saved_model_gives_the_reported_accuracy(tf, default_run):
    import keras

    from input_pipelines.dataset import LoadOptions
    from input_pipelines.datasets import digits

    model = keras.models.load_model(default_run[1] / "model.keras")
    test = digits.load(LoadOptions())["test"]
    logits = model.predict(test.images, verbose=0)
    accuracy = np.mean(logits.argmax(axis=1) == test.labels)
    assert accuracy == read_json(default_run[1] / "result.json")["test_accuracy"]


def test_a_terminal_gets_a_progress_bar(show_on_terminal):
    """On a real pseudo-terminal, the bar shows step, loss, accuracy, examples/s and ETA."""
    text = show_on_terminal(
        [sys.executable, "-m", "trainer.main", "--steps=400", "--model=mlp", "--run_dir=run"]
    )
    assert re.search(r"step \d+/400", text)
    for word in ("loss", "accuracy", "examples/s", "ETA"):
        assert word in text
    assert "I0000" not in text


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("dataset", "parts", "floor"),
    [
        ("mnist", ("mnist",), 0.9),
        pytest.param("flowers", ("flower_photos",), 0.45, marks=pytest.mark.slow),
    ],
)
def test_real_data(trainer_main, shared_data, tmp_path, dataset, parts, floor):
    steps = {"mnist": 250, "flowers": 120}[dataset]
    done = trainer_main(
        f"--dataset={dataset}", f"--data_dir={shared_data(*parts)}", f"--steps={steps}",
        "--strategy=mirrored", "--run_dir=run", timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert result["test_examples"] == {"mnist": 10_000, "flowers": 734}[dataset]
    assert result["test_accuracy"] > floor


@pytest.mark.slow
def test_fashion_mnist_is_found_where_debian_puts_it(trainer_main, fashion_folder, tmp_path):
    done = trainer_main("--dataset=fashion_mnist", "--steps=500", "--run_dir=run")
    assert done.returncode == 0, done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert result["model"] == "mlp"
    assert result["test_accuracy"] > 0.75


@pytest.mark.slow
def test_mirrored_on_virtual_devices(trainer_main, tmp_path):
    done = trainer_main(
        "--strategy=mirrored", "--virtual_devices=2", "--steps=20", "--run_dir=run",
        "--profile_steps=5,9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "run" / "result.json")["num_replicas"] == 2
    assert len(read_json(tmp_path / "run" / "environment.json")["devices"]) >= 2
    assert list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))


def test_an_error_of_the_program_goes_to_a_file(trainer_main, tmp_path):
    """A file of the program raises: one line for the user, the traceback in a file, status 7."""
    packages = tmp_path / "checkout"
    for name in ("flowrate", "input_pipelines", "models", "trainer"):
        shutil.copytree(ROOT / name, packages / name)
    source = packages / "trainer" / "data.py"
    text = source.read_text()
    assert "info, sources = loaded.info" in text
    source.write_text(text.replace("info, sources = loaded.info", "info, sources = 1 / 0, loaded"))
    done = trainer_main("--run_dir=run", PYTHONPATH=str(packages))
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "ZeroDivisionError" in done.stderr
    assert "1 / 0" in (tmp_path / "run" / "traceback.txt").read_text()


def test_json_files_are_strict_json(default_run):
    paths = list(default_run[1].glob("*.json"))
    assert len(paths) == 4
    for path in paths:
        json.loads(path.read_text(), parse_constant=pytest.fail)  # called for NaN and Infinity
