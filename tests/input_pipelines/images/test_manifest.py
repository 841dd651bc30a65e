"""The manifest: each file is read once; what changed is read again; what rotted is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest
from faults.tools import image_kinds

from input_pipelines.images import manifest as _manifest
from input_pipelines.images.manifest import ROTTEN, read_manifest, stored_at


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of four small JPEGs; a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            image = image_kinds.picture(10 * label + number, (30, 20 + number))
            image.save(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path / "photos"


def files(folder):
    return sorted(folder.glob("*/*"))


@pytest.fixture
def read(folder, monkeypatch):
    """Returns a function: -> the manifest of the folder, and the names of files read for it."""
    examined = []
    examine = _manifest.examine

    def note(path):
        examined.append(os.path.relpath(path, folder))
        return examine(path)

    monkeypatch.setattr(_manifest, "examine", note)

    def run(**options):
        examined.clear()
        manifest = read_manifest(files(folder), **options)
        return manifest, sorted(examined)

    return run


def test_a_file_is_read_once(folder, read):
    first, examined = read()
    assert examined == [path.relative_to(folder).as_posix() for path in files(folder)]
    again, examined = read()
    assert examined == []
    assert again == first
    assert first.root == folder
    path = folder / "dog" / "3.jpg"
    found = first.files[path]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.format, found.width, found.height, found.orientation) == ("JPEG", 30, 23, 1)
    assert first.problems() == {}
    assert first.name_of(path) == "dog/3.jpg"


def test_only_what_changed_is_read_again(folder, read):
    read()
    (folder / "cat" / "1.jpg").write_bytes(b"")
    (folder / "cat" / "2.jpg").unlink()
    shutil.copy(folder / "dog" / "0.jpg", folder / "dog" / "new.jpg")
    manifest, examined = read()
    assert examined == ["cat/1.jpg", "dog/new.jpg"]
    assert manifest.problems() == {folder / "cat" / "1.jpg": "is empty"}
    assert read() == (manifest, [])
    shutil.copy(folder / "cat" / "0.jpg", folder / "cat" / "1.jpg")
    assert read()[0].problems() == {}


def rot_and_keep_the_times(path):
    facts = path.stat()
    path.write_bytes(image_kinds.rot(path.read_bytes(), 9))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_other_content_under_the_old_size_and_time_is_refused_until_the_file_is_touched(
    folder, read
):
    read()
    path = folder / "dog" / "2.jpg"
    rot_and_keep_the_times(path)
    for _ in range(2):
        assert read()[0].problems() == {path: ROTTEN}
    os.utime(path)
    assert ROTTEN not in read()[0].problems().values()


def test_rot_that_leaves_all_times_alone_is_found_by_reading_all_again(folder, read):
    """The system's own time of change cannot be set: the manifest's is moved instead."""
    read()
    path = folder / "dog" / "2.jpg"
    rot_and_keep_the_times(path)
    store = stored_at(folder)
    head, body = store.read_text().split("\n", 1)
    rows = json.loads(body)
    for name, times, _ in rows:
        if name == "dog/2.jpg":
            times[2] = path.stat().st_ctime_ns
    body = json.dumps(rows)
    head = json.loads(head) | {"sha256": hashlib.sha256(body.encode()).hexdigest()}
    store.write_text(json.dumps(head) + "\n" + body)
    assert read() == (read()[0], [])
    manifest, examined = read(verify=True)
    assert len(examined) == 8
    assert manifest.problems() == {path: ROTTEN}
    # From then on it is known.
    assert read()[0].problems() == {path: ROTTEN}


def test_a_file_that_cannot_be_read_is_tried_each_time(folder, read):
    path = folder / "cat" / "pipe.jpg"
    os.mkfifo(path)
    for _ in range(2):
        manifest, examined = read()
        assert manifest.problems() == {path: "is no file"}
        assert "cat/pipe.jpg" in examined


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "page", "list"])
def test_a_damaged_manifest_is_made_anew(folder, read, damage):
    first, _ = read()
    store = stored_at(folder)
    whole = store.read_bytes()
    store.write_bytes(
        {"empty": b"", "cut": whole[: len(whole) // 2], "page": b"<html>", "list": b"[]\n[]",
         "flip": whole.replace(b'"JPEG", 30', b'"JPEG", 31', 1)}[damage]
    )  # fmt: skip
    said = []
    manifest, examined = read(tell=said.append)
    assert manifest == first
    assert len(examined) == 8
    assert said == [f"{store}: the manifest of the images is damaged; it is made anew."]
    assert store.read_bytes() == whole
    assert list(store.parent.iterdir()) == [store]


def test_a_folder_elsewhere_has_a_manifest_of_its_own(folder, read, tmp_path):
    read()
    shutil.copytree(folder, tmp_path / "copy")
    other = read_manifest(files(tmp_path / "copy"))
    assert stored_at(other.root) != stored_at(folder)
    assert len(list(stored_at(folder).parent.iterdir())) == 2


def test_it_works_where_the_cache_cannot_be_written(folder, read, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert len(read()[1]) == 8


def test_names_from_the_folder_itself(folder, monkeypatch):
    monkeypatch.chdir(folder)
    paths = sorted(path.relative_to(folder) for path in files(folder))
    manifest = read_manifest(paths)
    assert [manifest.name_of(path) for path in paths] == [path.as_posix() for path in paths]
