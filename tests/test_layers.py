"""The house rules: imports go one way, TensorFlow loads late, folders and files stay small."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib.util
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
# The floors of trainer/, from the ground up: each file and folder imports its own floor and those
# below.
FLOORS = (
    ("optimizers", "flags", "config", "plan", "clock"),
    ("checkpoints",),
    ("run_dir",),
    ("distributed",),
    ("model",),
    ("engine",),
    ("output", "trained"),
    ("run", "data"),
    ("build", "divergence", "saving", "result", "report"),
    ("loop", "session"),
    ("evaluate", "predict", "export", "data_check", "doctor"),
    ("launch", "submit", "main", "batch_that_fits"),
)
HEAVY = {"tensorflow", "keras", "tensorflow_datasets"}
# All else starts without TensorFlow, so that a mistake is reported at once.
TENSORFLOW_AT_THE_TOP = (
    "models/*.py",
    "input_pipelines/augmentation/*.py",
    "input_pipelines/images/*.py",
    "input_pipelines/blocks.py",
    "input_pipelines/device_memory.py",
    "input_pipelines/order.py",
    "trainer/distributed/*.py",
    "trainer/model/*.py",
    "trainer/engine/*.py",
    "trainer/optimizers/[a-z]*.py",
    "trainer/output/*.py",
    "trainer/trained/*.py",
    "trainer/predict/images.py",
    "trainer/build.py",
    "trainer/divergence.py",
    "trainer/loop.py",
    "benchmarks/measure/*.py",
    "benchmarks/bench_input.py",
)
MOST_FILES, MOST_LINES = 18, 450
SOURCE_SUFFIXES = {".py", ".jinja", ".txt", ".sh", ".css"}


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports() -> dict[str, set[str]]:
    """Returns what each file imports of this project: also late, or for types alone."""
    files = {name_of(path): path for package in MAY_IMPORT for path in python_files(package)}
    found = {}
    for name, path in files.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {each if each in files else node.module for each in full}
        found[name] = (targets & files.keys()) - {name}
    return found


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


def test_imports_go_down_the_floors_of_trainer():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    upward = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in targets
        if name.startswith("trainer.") and target.startswith("trainer.")
        if floor[target.split(".")[1]] > floor[name.split(".")[1]]
    ]
    assert not upward


def test_no_circle_of_imports():
    """Files that only import files that are taken away are taken away, until none is left."""
    left = {name: set(targets) for name, targets in imports().items()}
    while leaves := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in leaves:
            del left[name]
    assert not left, {name: sorted(targets & left.keys()) for name, targets in left.items()}


def test_another_folder_imports_no_name_with_an_underscore():
    for name, targets in imports().items():
        folder = name.rpartition(".")[0]
        for target in targets:
            home, _, last = target.rpartition(".")
            private = last.startswith("_") and last != "__init__"
            assert not private or home in (folder, name), f"{name} imports {target}"


def test_tensorflow_is_imported_late():
    for package in MAY_IMPORT:
        for path in python_files(package):
            place = path.relative_to(ROOT)
            may = any(place.match(pattern) for pattern in TENSORFLOW_AT_THE_TOP)
            assert may or not imported_packages(path, top_level_only=True) & HEAVY, place


def test_the_doctor_starts_where_nothing_is_installed():
    """What its first lines import is Python's own, or as lean."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['absl', 'numpy', 'packaging', 'psutil', "
        "'rich', 'tensorflow'])); import trainer.doctor.__main__"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_data_is_loaded_without_tensorflow():
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
    for package in MAY_IMPORT:
        assert Path(importlib.util.find_spec(package).origin).parent == ROOT / package


def test_every_package_is_listed_in_setup_cfg():
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


def test_folders_and_files_stay_small():
    for package in MAY_IMPORT:
        files = [p for p in (ROOT / package).rglob("*") if p.suffix in SOURCE_SUFFIXES]
        for folder in {path.parent for path in files}:
            found = [path for path in files if path.parent == folder]
            assert len(found) <= MOST_FILES, f"{folder}: {len(found)} files"
        for path in files:
            num_lines = len(path.read_text().splitlines())
            assert num_lines <= MOST_LINES, f"{path}: {num_lines} lines"
