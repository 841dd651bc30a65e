"""Bad images: all are named before anything is trained; or all is as if they were not there."""

from __future__ import annotations

import numpy as np
import pytest
from faults.tools import image_kinds

from flowrate.errors import DataError
from input_pipelines.loading import load_sources

PER_CLASS = 12


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of twelve JPEGs, half of them turned; a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            path = tmp_path / "photos" / name / f"{number:02}.jpg"
            image = image_kinds.picture(100 * label + number)
            kind = f"JPEG turned by EXIF {2 + number // 2}" if number % 2 else "WebP"
            image_kinds.ODD[kind](path, image)
    return tmp_path / "photos"


def make_bad(folder, kinds):
    """Puts a file of each kind among the others of both classes; returns the files."""
    paths = [folder / ("cat", "dog")[n % 2] / f"{n:02}-bad.jpg" for n in range(len(kinds))]
    for path, kind in zip(paths, kinds):
        image_kinds.BAD[kind][0](path, image_kinds.picture(7))
    return paths


def load(folder, **options):
    return load_sources("image_folder", data_dir=str(folder), image_size=16, **options)


def assert_same(found, expected):
    assert found.sources.keys() == expected.sources.keys()
    for split, source in expected.sources.items():
        assert found.sources[split].paths == source.paths
        np.testing.assert_array_equal(found.sources[split].labels, source.labels)
        np.testing.assert_array_equal(found.sources[split].orientations, source.orientations)


@pytest.mark.parametrize("held_out", [0, 5])
def test_skipping_is_as_if_they_were_not_there(folder, held_out):
    expected = load(folder, validation_examples=held_out, on_bad_image="error")
    assert expected.num_skipped == 0
    paths = make_bad(folder, list(image_kinds.BAD))
    said = []
    found = load(folder, validation_examples=held_out, on_bad_image="skip", tell=said.append)
    assert_same(found, expected)
    assert found.num_skipped == 25
    (line,) = said
    assert line.startswith("skipped 25 images that cannot be used, all named in ")
    for path in paths:
        path.unlink()
    assert_same(load(folder, on_bad_image="skip", validation_examples=held_out), expected)


def test_split_folders_are_looked_at_together(folder, tmp_path):
    (tmp_path / "all").mkdir()
    folder.rename(tmp_path / "all" / "train")
    for name in ("cat", "dog"):
        (tmp_path / "all" / "test" / name).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "all" / "test" / name / f"{number}.jpg"
            image_kinds.ODD["grey JPEG"](path, image_kinds.picture(number))
    bad = [tmp_path / "all" / split / "cat" / "0-bad.jpg" for split in ("test", "train")]
    for path in bad:
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(tmp_path / "all", on_bad_image="error")
    assert f"2 images cannot be used: {bad[0]}: is empty; {bad[1]}: is empty." in str(caught.value)
    sources = load(tmp_path / "all", on_bad_image="skip").sources
    assert {split: len(source) for split, source in sources.items()} == {"train": 24, "test": 4}


def test_a_class_of_bad_images_only_is_an_empty_class(folder):
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image .* in class folder dog"):
        load(folder, on_bad_image="skip")


def test_orientations_come_with_the_files(folder):
    train = load(folder).sources["train"]
    assert set(train.orientations.tolist()) <= set(range(1, 8))
    for path, orientation in zip(train.paths, train.orientations):
        number = int(path.stem)
        assert orientation == (2 + number // 2 if number % 2 else 1)


def test_what_is_left_out_is_told_first(folder):
    for name in ("cat/a.webp", "dog/c.tif", "dog/notes.txt", "dog/.DS_Store"):
        (folder / name).write_bytes(b"")
    said = []
    found = load(folder, tell=said.append)
    assert (
        said
        == list(found.notes)
        == [
            "left out 1 file or folder of systems and programs: 1 .DS_Store.",
            "left out 1 .tif, 1 .txt, 1 .webp: trained on are .bmp, .gif, .jfif, .jpe, .jpeg, "
            ".jpg, .png; convert or rename images.",
        ]
    )


def test_a_class_of_one_image_is_in_one_split_only(folder):
    for name in ("cow", "dam"):
        (folder / name).mkdir()
        image_kinds.ODD["WebP"](folder / name / "1.jpg", image_kinds.picture(3))
    (folder / "dog" / "00.jpg").unlink()
    assert load(folder).notes == (
        "train has no example of dam: never learnt; add images.",
        "test has no example of cow: not seen in the test figures; add images.",
    )


def test_jpeg_under_its_other_endings_is_used(folder):
    for number, ending in enumerate((".jfif", ".jpe", ".JPG", ".JFIF")):
        (folder / "cat" / f"{number:02}.jpg").rename(folder / "cat" / f"{number:02}{ending}")
    found = load(folder, on_bad_image="error")
    assert sum(map(len, found.sources.values())) == 2 * PER_CLASS
    assert {path.suffix for source in found.sources.values() for path in source.paths} == {
        ".jpg", ".jfif", ".jpe", ".JPG", ".JFIF",
    }  # fmt: skip
    assert found.notes == ()
