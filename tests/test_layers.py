"""The house rules: imports go one way, TensorFlow loads late, names are ours."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each package may import itself and those before it, except that the two in the middle never meet.
MAY_IMPORT = {
    "flowrate": {"flowrate"},
    "input_pipelines": {"flowrate", "input_pipelines"},
    "models": {"flowrate", "models"},
    "trainer": {"flowrate", "input_pipelines", "models", "trainer"},
    "benchmarks": {"flowrate", "input_pipelines", "models", "trainer", "benchmarks"},
}
HEAVY = {"tensorflow", "keras", "tensorflow_datasets"}
# What a usage error or `--help` passes through.
WITHOUT_TENSORFLOW = (
    *sorted((ROOT / "flowrate").glob("*.py")),
    *sorted(ROOT.glob("*/__init__.py")),
    *sorted((ROOT / "benchmarks").glob("*/__init__.py")),
    *(
        ROOT / "benchmarks" / f"{name}.py"
        for name in (
            "main", "config", "case", "runner", "records", "statistics", "compare", "collectives",
            "equality", "measure_equality", "measure_workers", "namespaces", "pinning", "predict",
            "prediction_tables", "recorded_training", "scaling_model", "stated", "worker_group",
            "workers_rate",
        )
    ),
    *(
        ROOT / "trainer" / f"{name}.py"
        for name in (
            "agreement", "answer", "arrays", "attempt", "batch_that_fits", "checkpoints",
            "cluster", "config", "flags", "contents", "data", "data_check",
            "dataset_record", "evaluate", "follower", "launch", "main", "node_lists",
            "peers", "plan", "predict",
            "prediction_output", "prediction_table", "predictions", "preflight", "process_group",
            "rendezvous", "run_dir", "run_lock", "save_interval", "saving", "scores", "session",
            "starts", "step_results", "stop", "stragglers", "tpu", "trained", "watchdog", "worker",
        )
    ),
    *sorted((ROOT / "trainer" / "doctor").glob("*.py")),
    ROOT / "input_pipelines" / "_image_paths.py",
    *(
        ROOT / "trainer" / "export" / f"{name}.py"
        for name in (
            "__main__", "calibration", "config", "folder", "labels", "parity", "runtime", "verify",
        )
    ),
    # A process that checks an export holds one runtime and nothing else.
    *sorted((ROOT / "trainer" / "export" / "formats").glob("*.py")),
    *sorted((ROOT / "trainer" / "report").glob("*.py")),
    *sorted((ROOT / "trainer" / "submit").glob("*.py")),
    *(
        ROOT / "input_pipelines" / name
        for name in (
            "_data_flags.py", "_failures.py", "_headers.py", "_loading.py", "_tensorflow.py",
            "inspect/__init__.py", "inspect/__main__.py", "inspect/config.py",
        )
    ),
)  # fmt: skip


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_packages(path: Path, top_level_only: bool = False) -> set[str]:
    """Returns the first part of every absolute import in a file."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    files = python_files(package)
    assert files
    for path in files:
        upward = (imported_packages(path) & MAY_IMPORT.keys()) - MAY_IMPORT[package]
        assert not upward, f"{path.relative_to(ROOT)} imports {sorted(upward)}"


@pytest.mark.parametrize("path", WITHOUT_TENSORFLOW, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_tensorflow_at_the_top(path):
    assert not imported_packages(path, top_level_only=True) & HEAVY


def test_the_doctor_starts_where_nothing_is_installed():
    """What its first lines import is Python's own, or as lean."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['absl', 'numpy', 'packaging', 'psutil', "
        "'rich', 'tensorflow'])); import trainer.doctor.__main__"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_data_set_files_import_no_tensorflow_at_the_top():
    for path in (ROOT / "input_pipelines").glob("[!_]*.py"):
        assert not imported_packages(path, top_level_only=True) & HEAVY, path


def test_a_config_can_be_made_without_tensorflow():
    code = (
        "import sys; from trainer.config import TrainConfig; from trainer.data import load_data;"
        "load_data(TrainConfig()); print(sorted({'tensorflow', 'keras'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_training_does_not_use_fit():
    """Model.fit fails under several strategies: there is one loop for all."""
    for package in MAY_IMPORT.keys() - {"benchmarks"}:  # Its peers are what others use.
        for path in python_files(package):
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            names = [c.func.attr for c in calls if isinstance(c.func, ast.Attribute)]
            assert "fit" not in names, path


def test_packages_are_those_of_this_checkout():
    """`models` and `trainer` are everyday names: another distribution's must not win."""
    import importlib.util

    for package in MAY_IMPORT:
        assert Path(importlib.util.find_spec(package).origin).parent == ROOT / package


def test_every_package_is_listed_in_setup_cfg():
    import configparser

    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(MAY_IMPORT)


def test_no_file_holds_two_ideas():
    for package in MAY_IMPORT:
        for path in python_files(package):
            num_lines = len(path.read_text().splitlines())
            assert num_lines <= 350, f"{path.relative_to(ROOT)} has {num_lines} lines"
