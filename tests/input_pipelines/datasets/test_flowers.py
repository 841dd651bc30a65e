"""The flower photos: split file for file as the tutorial splits them; fetched and unpacked."""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import flowers
from input_pipelines.fetch import download as _download


def load(folder: Path | None):
    return flowers.load(LoadOptions(data_dir=folder))


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder `flower_photos` with the five class folders, of files that are no photos."""
    folder = tmp_path / "flower_photos"
    for name in flowers.INFO.class_names:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            (folder / name / f"{number}.jpg").write_bytes(b"")
    (folder / "LICENSE.txt").write_text("CC BY 2.0")
    return folder


def test_the_split_is_that_of_keras_file_for_file(tf, shared_data):
    from keras.utils import image_dataset_from_directory

    folder = shared_data("flower_photos")
    sources = load(folder)
    for split, subset in (("train", "training"), ("test", "validation")):
        dataset = image_dataset_from_directory(
            folder, validation_split=0.2, subset=subset, seed=123, image_size=(2, 2), verbose=False
        )
        source = sources[split]
        assert [str(path) for path in source.paths] == list(dataset.file_paths)
        assert source.class_names == tuple(dataset.class_names)
        assert [source.class_names[label] for label in source.labels] == [
            Path(path).parent.name for path in dataset.file_paths
        ]


def test_info_is_true(shared_data):
    sources = load(shared_data("flower_photos"))
    assert {split: len(source) for split, source in sources.items()} == flowers.INFO.num_examples
    labels = np.concatenate([source.labels for source in sources.values()])
    assert np.bincount(labels).tolist() == [633, 898, 641, 699, 799]
    assert sources["train"].class_names == flowers.INFO.class_names
    assert not set(sources["train"].paths) & set(sources["test"].paths)


def test_the_folder_above_will_do(photos):
    for split, source in load(photos.parent).items():
        assert source.paths == load(photos)[split].paths


@pytest.mark.parametrize("change", ["less", "more"])
def test_other_class_folders(photos, change):
    if change == "less":
        (photos / "roses").rename(photos / ".roses")
    else:
        (photos / "violets").mkdir()
    with pytest.raises(DataError) as caught:
        load(photos)
    assert str(caught.value) == (
        f"--data_dir={photos} does not hold flower_photos with its five class folders; "
        "point it at the folder that does."
    )


def test_without_a_network(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load(None)
    assert str(caught.value) == (
        "flower_photos.tgz (228,813,984 bytes from storage.googleapis.com) is not here and cannot "
        "be fetched (Network is unreachable). Give --data_dir=FOLDER with the folder "
        "flower_photos; digits and synthetic need no download."
    )


def archive_of(folder: Path, *, more: dict[str, bytes] | None = None) -> bytes:
    """A .tgz of a folder, and of files under names that may lead anywhere."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
        for name, content in (more or {}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def serve_archive(tf, tmp_path, monkeypatch, file_server):
    """Returns a function that offers an archive for download in the place of the real one."""

    def serve(content: bytes) -> Path:
        file_server.files["flower_photos.tgz"] = content
        file = _download.RemoteFile(
            url=f"{file_server.url}/flower_photos.tgz",
            num_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        monkeypatch.setattr(flowers, "ARCHIVE", file)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache" / "flowrate" / "flowers"

    return serve


def test_fetched_once_and_unpacked(photos, serve_archive, file_server):
    folder = serve_archive(archive_of(photos))
    for _ in range(2):
        sources = load(None)
        found = sorted(path for source in sources.values() for path in source.paths)
        names = [path.relative_to(photos) for path in sorted(photos.glob("*/*.jpg"))]
        assert found == [folder / "flower_photos" / name for name in names]
    assert file_server.requests == ["flower_photos.tgz"]
    assert sorted(path.name for path in folder.iterdir()) == ["flower_photos", "flower_photos.tgz"]


def test_unpacking_that_was_cut_short_is_done_again(photos, serve_archive):
    folder = serve_archive(archive_of(photos))
    killed = subprocess.Popen(["true"])
    killed.wait()
    partial = folder / f"flower_photos.{killed.pid}@{platform.node()}.partial"
    rest = partial / "flower_photos" / "daisy"
    rest.mkdir(parents=True)
    (rest / "0.jpg").write_bytes(b"cut")
    sources = load(None)
    assert sum(len(source) for source in sources.values()) == 20
    assert (folder / "flower_photos" / "daisy" / "0.jpg").read_bytes() == b""
    assert not partial.exists()


def test_another_worker_may_have_unpacked_meanwhile(photos, serve_archive):
    folder = serve_archive(archive_of(photos))
    assert flowers._fetch() == flowers._fetch() == folder / "flower_photos"
    assert sorted(path.name for path in folder.iterdir()) == ["flower_photos", "flower_photos.tgz"]
