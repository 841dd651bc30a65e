"""Data sets, looked for without a network."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flowrate.errors import DataError
from input_pipelines.loading import load_sources
from trainer.doctor import data_sets

ROOT = Path(__file__).resolve().parents[3]


def look(data_dir: Path | None) -> dict:
    return dict(data_sets.look(data_dir))


@pytest.fixture(autouse=True)
def _private_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_not_here_is_told_with_its_size_and_host():
    checks = look(None)
    assert checks["mnist"].verdict == "absent"
    assert checks["mnist"].found == "would be downloaded: 11 MB from storage.googleapis.com"
    assert checks["cifar10"].found == "would be downloaded: 170 MB from www.cs.toronto.edu"
    assert checks["flowers"].facts["num_bytes"] == 228_813_984
    assert "--data_dir" in checks["image_folder"].found
    assert "tfds" not in checks
    assert checks["digits"].verdict == checks["synthetic"].verdict == "ok"


def write_photos(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name, "JPEG")


def test_a_folder_of_the_users(tmp_path):
    names = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(10)]
    write_photos(tmp_path / "photos", *names)
    checks = look(tmp_path / "photos")
    assert checks["image_folder"].verdict == "ok"
    assert checks["image_folder"].facts["examples"] == {"train": 16, "test": 4}
    assert f"--data_dir={tmp_path / 'photos'}" in checks["image_folder"].found
    # It holds no MNIST: then the usual places count.
    assert checks["mnist"].found.startswith("would be downloaded")
    assert checks["digits"].verdict == "ok"


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (("train/cat/1.jpg", "train/dog/1.jpg", "test1/1.jpg"), "failed"),
        (("cat/1.jpg", "Cat/1.jpg"), "failed"),
        (("photos/cat/1.jpg", "photos/dog/1.jpg"), "absent"),
        (("photos/cat/1.jpg", "mnist/mnist.npz"), "absent"),
        (("cat/1.jpg", "dog/1.webp"), "failed"),
        (("train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg"), "failed"),
        (("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.jpg", "dog/a.webp",
          "runs/a/config.json", "runs/a/plan.json"), "warning"),
    ],
    ids=lambda each: "",
)  # fmt: skip
def test_a_folder_is_judged_as_training_judges_it(tmp_path, names, verdict):
    folder = tmp_path / "photos"
    write_photos(folder, *names)
    said = []
    try:
        said += load_sources("image_folder", data_dir=str(folder)).notes
    except DataError as error:
        said.append(str(error).removesuffix("." if verdict == "absent" else ""))
    check = data_sets.check_data_set("image_folder", folder)
    assert check.verdict == verdict
    assert check.found.endswith(" ".join(said))
    assert "delete" not in check.to_do


def test_damaged_images_of_the_users_are_named(tmp_path):
    write_photos(tmp_path, *(f"{name}/{number}.jpg" for name in ("a", "b") for number in range(3)))
    (tmp_path / "a" / "1.jpg").write_bytes(b"")
    check = data_sets.check_data_set("image_folder", tmp_path)
    assert check.verdict == "failed"
    assert check.found.startswith(f"1 image cannot be used: {tmp_path / 'a' / '1.jpg'}: is empty.")


def test_damage_names_the_file(tmp_path):
    path = tmp_path / "cache" / "flowrate" / "mnist" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no archive")
    check = data_sets.check_data_set("mnist", None)
    assert check.verdict == "failed"
    assert str(path) in check.found


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
