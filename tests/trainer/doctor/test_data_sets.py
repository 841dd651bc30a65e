"""Data sets, looked for without a network."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate.errors import DataError
from trainer.doctor import data_sets

ROOT = Path(__file__).resolve().parents[3]


def look(data_dir: Path | None) -> dict:
    return {check.name: check for check in data_sets.look(data_dir)}


@pytest.fixture(autouse=True)
def _private_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))


def test_what_is_not_here_is_told_with_its_size_and_host():
    checks = look(None)
    assert checks["mnist"].verdict == "absent"
    assert checks["mnist"].found == "would be downloaded: 11 MB from storage.googleapis.com"
    assert checks["cifar10"].found == "would be downloaded: 170 MB from www.cs.toronto.edu"
    assert checks["flowers"].facts["num_bytes"] == 228_813_984
    assert "--data_dir" in checks["image_folder"].found
    assert checks["tfds"].verdict == "absent"
    assert checks["digits"].verdict == checks["synthetic"].verdict == "ok"


def test_a_folder_of_the_users(tmp_path):
    for name in ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    checks = look(tmp_path / "photos")
    assert checks["image_folder"].verdict == "ok"
    assert checks["image_folder"].facts["examples"] == {"train": 4, "test": 1}
    assert f"--data_dir={tmp_path / 'photos'}" in checks["image_folder"].found
    # It holds no MNIST: then the usual places count.
    assert checks["mnist"].found.startswith("would be downloaded")
    assert checks["digits"].verdict == "ok"


def test_damage_is_told_with_the_file(tmp_path):
    (tmp_path / "cache" / "flowrate" / "mnist").mkdir(parents=True)
    path = tmp_path / "cache" / "flowrate" / "mnist" / "mnist.npz"
    path.write_bytes(b"no archive")
    check = look(None)["mnist"]
    assert check.verdict == "failed"
    assert str(path) in check.found


def test_what_tensorflow_datasets_has_prepared(tmp_path):
    for name in ("mnist/3.0.1", "cmaterdb/bangla/1.0.0"):
        (tmp_path / "prepared" / name).mkdir(parents=True)
        (tmp_path / "prepared" / name / "dataset_info.json").write_text("{}")
    (tmp_path / "prepared" / "half" / "1.0.0").mkdir(parents=True)
    check = look(None)["tfds"]
    assert check.verdict == "ok"
    assert check.facts["prepared"] == ["cmaterdb/bangla", "mnist"]


def test_a_data_dir_that_is_none(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        data_sets.check_data_dir(tmp_path / "none")


def test_no_code_reaches_the_network():
    """Not even one that does not ask whether it may: Python itself refuses."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = server.getsockname()
        code = (
            "import socket, sys\n"
            "from trainer.doctor.offline_load import main\n"
            "main('synthetic')\n"
            f"socket.create_connection({address!r})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
    assert json.loads(done.stdout)["state"] == "here"
    assert "OSError: the network is not to be used" in done.stderr
