"""What may lie in a run directory; tests/faults tries more of it."""

from __future__ import annotations

import os

import pytest

from flowrate.errors import ConfigError, RunDirError
from trainer.config import TrainConfig
from trainer.run_dir.folder import RunDir
from trainer.run_dir.plain_files import check_contents

CHECKPOINT = "checkpoints/ckpt-00000005"


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints" / "ckpt-00000005").mkdir(parents=True)
    (folder / "checkpoints" / "ckpt-00000005" / "arrays.npz").write_bytes(b"PK")
    (folder / "config.json").write_text("{}")
    (tmp_path / "elsewhere").write_text("gold")
    return folder


def test_files_and_folders_are_taken(run_dir, tmp_path):
    check_contents(run_dir)
    (tmp_path / "other name").symlink_to(run_dir)
    check_contents(tmp_path / "other name")


def test_checkpoints_may_lie_elsewhere_if_they_are_plain(run_dir, tmp_path):
    (run_dir / "checkpoints").rename(tmp_path / "disk")
    (run_dir / "checkpoints").symlink_to(tmp_path / "disk")
    check_contents(run_dir)
    (tmp_path / "disk" / "ckpt-00000005" / "manifest.json").symlink_to("/dev/zero")
    with pytest.raises(RunDirError, match=r"/manifest.json is a link; "):
        check_contents(run_dir)
    (tmp_path / "disk" / "ckpt-00000005" / "manifest.json").unlink()
    (tmp_path / "disk" / "ckpt-00000010").symlink_to(tmp_path)
    with pytest.raises(RunDirError, match=r"/ckpt-00000010 is a link; "):
        check_contents(run_dir)


def test_what_is_never_read_may_be_anything(run_dir):
    os.mkfifo(run_dir / "model.keras")
    check_contents(run_dir)


def test_a_run_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        RunDir.open(TrainConfig(run_dir=str(tmp_path / "file")), print)
