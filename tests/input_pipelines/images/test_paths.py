"""Files and folders named on a command line -> image files, in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from input_pipelines.images.paths import find_images


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images in folders, and what else may lie there."""
    for name in ("b.JPG", "a.png", "below/c.webp", "below/deep/d.heic", "notes.txt", "._b.JPG",
                 "Thumbs.db", "none/readme"):  # fmt: skip
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def names(found, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found.paths]


def test_a_folder_is_walked_in_the_order_of_names(folder):
    found = find_images([str(folder)])
    assert names(found, folder) == ["a.png", "b.JPG", "below/c.webp", "below/deep/d.heic"]
    assert (found.num_skipped, found.problems) == (4, {})


def test_what_systems_leave_is_no_image(folder):
    for name in ("@eaDir/a.png/SYNO.jpg", "__MACOSX/a.jpg", "below/.ipynb_checkpoints/c.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    found = find_images([str(folder)])
    assert names(found, folder) == ["a.png", "b.JPG", "below/c.webp", "below/deep/d.heic"]
    assert (found.num_skipped, found.problems) == (7, {})


def test_names_keep_their_order_and_any_suffix(folder):
    found = find_images([f"{folder}/notes.txt", f"{folder}/below", f"{folder}/a.png", "missing"])
    assert [path.name for path in found.paths] == [
        "notes.txt", "c.webp", "d.heic", "a.png", "missing",
    ]  # fmt: skip
    assert found.num_skipped == 0
    assert found.problems == {Path("missing"): "is not there"}


def test_a_folder_without_images_is_a_problem_of_its_own(folder):
    found = find_images([f"{folder}/none", f"{folder}/a.png"])
    assert found.paths == (folder / "none", folder / "a.png")
    assert found.problems == {folder / "none": "no image in this folder"}


def test_links_to_folders_lead_nowhere_and_links_to_files_count(folder):
    (folder / "loop").symlink_to(folder)
    (folder / "z.png").symlink_to(folder / "a.png")
    assert names(find_images([str(folder)]), folder)[:3] == ["a.png", "b.JPG", "z.png"]
    assert len(find_images([str(folder)]).paths) == 5
    assert len(find_images([str(folder / "loop")]).paths) == 5


def test_a_folder_that_cannot_be_read_is_named(folder):
    closed = folder / "below"
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("root reads every folder")
        found = find_images([str(folder)])
    finally:
        closed.chmod(0o755)
    assert found.problems == {closed: "cannot be read (Permission denied)"}
    assert names(found, folder) == ["a.png", "b.JPG", "below"]


def test_odd_names(tmp_path):
    for name in (b"new\nline.png", b"\xff.png", b" .png", b"-x.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    found = find_images([str(tmp_path)])
    assert sorted(os.fsencode(path.name) for path in found.paths) == [
        b" .png", b"-x.png", b"new\nline.png", b"\xff.png",
    ]  # fmt: skip
