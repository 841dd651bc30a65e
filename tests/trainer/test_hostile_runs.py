"""Run directories made to do harm: refused by name, nothing in them executed, memory flat."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults._peak import run_measured
from flowrate.records import read_json, to_json, write_json

ROOT = Path(__file__).resolve().parents[2]
# Of TensorFlow itself, with what a small model needs; RELIABILITY's bound is 300 MB above that.
MAX_RESIDENT_MIB = 1200


class Payload:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    command = [
        sys.executable, "-m", "trainer.main", "--model=mlp16", "--steps=5", "--noreport",
        f"--run_dir={folder}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run_dir(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def evaluate(run_dir: Path) -> tuple[int, str, float]:
    """Returns the status, what it said on standard error, and the MiB that it took."""
    said = run_dir.parent / "stderr"
    with said.open("wb") as errors:
        status, mebibytes = run_measured(
            [sys.executable, "-m", "trainer.evaluate", str(run_dir)], run_dir.parent / "peak", 240,
            cwd=run_dir.parent, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=errors,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return status, said.read_text(), mebibytes


def assert_refused(run_dir: Path, message: str) -> None:
    status, said, mebibytes = evaluate(run_dir)
    assert status == 5, said
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (run_dir.parent / "pwned").exists()
    assert mebibytes < MAX_RESIDENT_MIB


def replace_arrays(run_dir: Path, write) -> None:
    """Puts other arrays into the checkpoint, with a manifest that vouches for them."""
    (folder,) = (run_dir / "checkpoints").glob("ckpt-*")
    write(folder / "arrays.npz")
    manifest = read_json(folder / "manifest.json")
    content = (folder / "arrays.npz").read_bytes()
    manifest["files"]["arrays.npz"] = {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest()
    }  # fmt: skip
    (folder / "manifest.json").write_text(to_json(manifest))


@pytest.mark.slow
def test_as_it_was_written_it_is_taken(run_dir):
    status, said, _ = evaluate(run_dir)
    assert status == 0, said


@pytest.mark.slow
def test_a_model_file_is_not_read(run_dir):
    """model.keras may hold code; the model is built anew from config.json."""
    (run_dir / "model.keras").unlink()
    os.mkfifo(run_dir / "model.keras")  # Whoever opened it would wait for ever.
    assert evaluate(run_dir)[0] == 0


def test_pickled_objects(run_dir):
    objects = np.array([Payload()], object)
    replace_arrays(run_dir, lambda path: np.savez(path, **{"model/0000/kernel": objects}))
    assert_refused(run_dir, "ckpt-00000005 damaged")


@pytest.mark.slow
def test_a_pickle_under_the_name_of_arrays(run_dir):
    import pickle

    replace_arrays(run_dir, lambda path: path.write_bytes(pickle.dumps(Payload())))
    assert_refused(run_dir, "ckpt-00000005 damaged")


@pytest.mark.slow
def test_a_file_that_grows_when_unpacked(run_dir):
    zeros = {"model/0000/kernel": np.zeros(2**29, np.uint8)}
    replace_arrays(run_dir, lambda path: np.savez_compressed(path, **zeros))
    assert_refused(run_dir, "ckpt-00000005 damaged")


def test_a_header_that_promises_terabytes(run_dir):
    def write(path: Path) -> None:
        header = (
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000,), }".ljust(117)
            + b"\n"
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/0000/kernel.npy", header)

    replace_arrays(run_dir, write)
    assert_refused(run_dir, "ckpt-00000005 damaged")


@pytest.mark.slow
@pytest.mark.parametrize(
    "facts",
    [{"image_shape": [8192, 8192, 3], "model": "mlp"}, {"model": "resnet18"},
     {"class_names": [f"{i}" for i in range(500_000)]}],
    ids=["a huge image", "another model", "many classes"],
)  # fmt: skip
def test_a_plan_that_asks_for_another_model(run_dir, facts):
    plan = read_json(run_dir / "plan.json")
    plan["data"] |= facts
    write_json(run_dir / "plan.json", plan)
    status, said, _ = evaluate(run_dir)
    # Another number of classes, or size of images, is found when the data set is loaded.
    assert status in (3, 5), said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_names_that_a_terminal_would_obey(run_dir):
    plan = read_json(run_dir / "plan.json")
    plan["data"]["class_names"][0] = "\x1b]0;owned\x07"
    write_json(run_dir / "plan.json", plan)
    assert_refused(run_dir, "plan.json is damaged: data.class_names are not the names of classes")


@pytest.mark.slow
def test_a_config_that_leads_elsewhere_is_not_shown(run_dir, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the password is 1234")
    (run_dir / "config.json").unlink()
    (run_dir / "config.json").symlink_to(secret)
    assert_refused(run_dir, "config.json is a link; a run directory holds plain files")
    assert "1234" not in evaluate(run_dir)[1]
