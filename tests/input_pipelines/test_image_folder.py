"""Any folder of class folders: listed and split as Keras does it; what is wrong is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines import image_folder
from input_pipelines._dataset import LoadOptions
from input_pipelines._folders import list_folder


def load(folder: Path | None):
    return image_folder.load(LoadOptions(data_dir=folder))


def touch(folder: Path, *names: str) -> Path:
    """Makes empty files, and the folders they lie in."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def numbered(*classes: str, count: int = 5) -> list[str]:
    return [f"{name}/{number}.jpg" for name in classes for number in range(count)]


def names_in(sources, split: str, folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in sources[split].paths)


def refused(folder: Path | None) -> str:
    with pytest.raises(DataError) as caught:
        load(folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def keras_files(tf):
    """Returns a function: a folder -> what Keras lists there, {subset: (paths, class names)}."""
    from keras.utils import image_dataset_from_directory

    def list_files(folder: Path) -> dict[str, tuple[list[Path], tuple[str, ...]]]:
        found = {}
        for subset in ("training", "validation"):
            dataset = image_dataset_from_directory(
                folder, validation_split=0.2, subset=subset, seed=123, verbose=False
            )
            paths = [Path(path) for path in dataset.file_paths]
            found[subset] = (paths, tuple(dataset.class_names))
        return found

    return list_files


def check_equals_keras(folder: Path, keras_files) -> None:
    sources, expected = load(folder), keras_files(folder)
    for split, subset in (("train", "training"), ("test", "validation")):
        paths, class_names = expected[subset]
        assert list(sources[split].paths) == paths
        assert sources[split].class_names == class_names
        found = [class_names[label] for label in sources[split].labels]
        assert found == [path.relative_to(folder).parts[0] for path in paths]


def test_real_photos_are_listed_as_keras_lists_them(image_folder, keras_files):
    check_equals_keras(image_folder(classes=("cat", "dog", "emu"), per_class=11), keras_files)


def test_odd_names_are_listed_as_keras_lists_them(tmp_path, keras_files):
    touch(
        tmp_path,
        *numbered("a", "a b", "a-b", "B", "ä", count=3),
        *numbered("a/nested", "a/nested.jpg", "a b/x/y/z", count=2),  # a folder with a file's name
        "a/LOUD.JPG", "a/x.jpeg", "a/x.PNG", "B/x.gif", "B/x.bmp", "B/10.jpg", "B/9.jpg",
        "B/Z/1.jpg", "B/a/1.jpg",
        "a/readme.txt", "a/x.webp", "a/x.jpg.txt", "B/jpg", "readme.jpg",
        ".hidden/1.jpg", ".git/objects/2.png", "a/.thumbnails/3.jpg", "a/.4.jpg",
    )  # fmt: skip
    check_equals_keras(tmp_path, keras_files)
    listed = list_folder(tmp_path)
    assert listed.class_names == ("B", "a", "a b", "a-b", "ä")
    assert len(listed) == 5 * 3 + 3 * 2 + 7 + 2 + 2
    assert all(path.is_file() for path in listed.paths)


def test_links_to_folders_are_not_followed(tmp_path, keras_files):
    touch(tmp_path / "photos", *numbered("a", "b"))
    touch(tmp_path / "elsewhere", *numbered("c"))
    (tmp_path / "photos" / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "c").symlink_to(tmp_path / "elsewhere" / "c")  # but as a class it counts
    check_equals_keras(tmp_path / "photos", keras_files)
    assert list_folder(tmp_path / "photos").class_names == ("a", "b", "c")


def test_the_order_does_not_depend_on_the_file_system(tmp_path):
    names = numbered("a", "b", "c", count=7)
    forwards = touch(tmp_path / "1", *names)
    backwards = touch(tmp_path / "2", *reversed(names))
    for split in ("train", "test"):
        first, second = load(forwards)[split], load(backwards)[split]
        assert [p.relative_to(forwards) for p in first.paths] == [
            p.relative_to(backwards) for p in second.paths
        ]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        ({"train": "train", "validation": "validation", "test": "test"},
         ["train", "validation", "test"]),
        ({"Training": "train", "val": "validation", "Testing": "test"},
         ["train", "validation", "test"]),
        ({"train": "train", "valid": "validation", "TEST": "test"},
         ["train", "validation", "test"]),
        ({"train": "train", "test": "test"}, ["train", "test"]),
    ],
)  # fmt: skip
def test_split_folders(tmp_path, folders, splits):
    for folder, split in folders.items():
        touch(tmp_path / folder, *numbered("cat", "dog", count=3 + len(split)))
    touch(tmp_path / ".cache", *numbered("x"))
    sources = load(tmp_path)
    assert sorted(sources) == sorted(splits)
    for folder, split in folders.items():
        expected = [f"{folder}/{name}" for name in numbered("cat", "dog", count=3 + len(split))]
        assert names_in(sources, split, tmp_path) == sorted(expected)
        assert sources[split].class_names == ("cat", "dog")
        classes = [path.parent.name for path in sources[split].paths]
        assert classes == [("cat", "dog")[label] for label in sources[split].labels]


@pytest.mark.parametrize("folders", [["train"], ["train", "validation"]])
def test_without_a_test_folder_a_fifth_of_train_is_kept(tmp_path, folders, keras_files):
    for folder in folders:
        touch(tmp_path / folder, *numbered("cat", "dog", count=10))
    sources = load(tmp_path)
    assert sorted(sources) == sorted({*folders, "test"})
    expected = keras_files(tmp_path / "train")
    assert list(sources["train"].paths) == expected["training"][0]
    assert list(sources["test"].paths) == expected["validation"][0]
    assert len(sources["test"]) == 4


def test_classes_may_be_named_like_splits(tmp_path):
    """Folders of which one is no split are classes, and so are those without a `train`."""
    touch(tmp_path / "1", *numbered("train", "boat", "test"))
    assert load(tmp_path / "1")["train"].class_names == ("boat", "test", "train")
    touch(tmp_path / "2", *numbered("test", "val"))
    assert load(tmp_path / "2")["train"].class_names == ("test", "val")


def test_two_folders_for_one_split(tmp_path):
    for folder in ("train", "val", "validation"):
        touch(tmp_path / folder, *numbered("cat", "dog"))
    assert refused(tmp_path) == (
        f"{tmp_path}: two of train, val, validation are the same split; keep one of them."
    )


def test_splits_of_different_classes(tmp_path):
    touch(tmp_path / "train", *numbered("cat", "dog"))
    touch(tmp_path / "val", *numbered("cat", "cow", "dog"))
    touch(tmp_path / "test", *numbered("cat", "dog"))
    assert refused(tmp_path) == (
        f"{tmp_path / 'val'} and {tmp_path / 'train'} have different class folders: "
        "cow stand in one only."
    )


def test_no_folder_given():
    message = "--dataset=image_folder needs --data_dir=FOLDER with one folder per class."
    assert refused(None) == message


def test_folders_that_are_none(tmp_path):
    assert refused(tmp_path / "nowhere") == f"--data_dir={tmp_path / 'nowhere'} does not exist."
    touch(tmp_path, "file")
    assert refused(tmp_path / "file") == f"--data_dir={tmp_path / 'file'} is a file, not a folder."


@pytest.mark.parametrize("names", [[], ["1.jpg", "2.jpg"], [".hidden/1.jpg"]])
def test_no_class_folders(tmp_path, names):
    assert refused(touch(tmp_path, *names)) == (
        f"{tmp_path} holds no class folders (one folder of images for each class)."
    )


def test_one_class_only(tmp_path):
    assert refused(touch(tmp_path, *numbered("cat"))) == (
        f"{tmp_path} has one class folder only (cat); a classifier needs at least two."
    )


def test_classes_without_images(tmp_path):
    touch(tmp_path, *numbered("cat", "dog"), "emu/notes.txt")
    (tmp_path / "fox").mkdir()
    assert refused(tmp_path) == (
        f"{tmp_path}: no image (.bmp, .gif, .jpeg, .jpg, .png) in class folder emu, fox; "
        "add some, or remove the folder."
    )


def test_too_few_images_to_split(tmp_path):
    assert refused(touch(tmp_path, *numbered("cat", "dog", count=2))) == (
        "4 images are too few to keep 20% for the test; add images, or a test folder."
    )
    touch(tmp_path, "cat/3.jpg")
    assert [len(source) for source in load(tmp_path).values()] == [4, 1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_without_permission(tmp_path):
    touch(tmp_path, *numbered("cat", "dog"))
    tmp_path.chmod(0)
    try:
        assert refused(tmp_path) == f"{tmp_path}: cannot be read: Permission denied."
    finally:
        tmp_path.chmod(0o700)


def test_labels_follow_the_sorted_classes(tmp_path):
    source = list_folder(touch(tmp_path, *numbered("zebra", "ant", "Mule", count=2)))
    assert source.class_names == ("Mule", "ant", "zebra")
    np.testing.assert_array_equal(source.labels, np.array([0, 0, 1, 1, 2, 2], np.int32))
