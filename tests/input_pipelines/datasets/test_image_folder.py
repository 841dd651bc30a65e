"""Any folder of class folders: listed and split as Keras does it; what is wrong is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import image_folder
from input_pipelines.folders.listing import list_folder


def load(folder: Path | None):
    return image_folder.load(LoadOptions(data_dir=folder))


def touch(folder: Path, *names: str) -> Path:
    """Makes empty files, and the folders they lie in; of a name that ends in /, a folder."""
    for name in names:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return folder


def numbered(*classes: str, count: int = 5) -> list[str]:
    return [f"{name}/{number}.jpg" for name in classes for number in range(count)]


def names_in(sources, split: str, folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in sources[split].paths)


def refused(folder: Path | None) -> str:
    with pytest.raises(DataError) as caught:
        load(folder)
    return str(caught.value)


def told(folder: Path) -> list[str]:
    lines: list[str] = []
    image_folder.load(LoadOptions(data_dir=folder, tell=lines.append))
    return lines


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
        "B/Z/1.jpg", "B/c/1.jpg",
        "a/readme.txt", "a/x.webp", "a/x.jpg.txt", "B/jpg", "readme.jpg",
        ".hidden/1.jpg", ".git/objects/2.png",
    )  # fmt: skip
    check_equals_keras(tmp_path, keras_files)
    listed = list_folder(tmp_path)
    assert listed.class_names == ("B", "a", "a b", "a-b", "ä")
    assert len(listed) == 5 * 3 + 3 * 2 + 7 + 2
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
        ({"train": "train", "dev": "validation", "TEST": "test"}, ["train", "validation", "test"]),
        ({"TRAIN": "train", "Eval": "validation", "hold-out": "test"},
         ["train", "validation", "test"]),
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
    """Where they hold images as the classes beside them do, and are no more than those."""
    touch(tmp_path / "1", *numbered("train", "boat", "bus"))
    assert load(tmp_path / "1")["train"].class_names == ("boat", "bus", "train")
    assert told(tmp_path / "1") == [
        "train is taken for a class: images lie there directly, where a split has class folders; "
        "if that is wrong, move them elsewhere."
    ]
    touch(tmp_path / "2", *numbered("test_tube", "bullet_train", "boat", "bus"))
    assert len(load(tmp_path / "2")["train"].class_names) == 4
    touch(tmp_path / "3", *numbered("test1", "test2"))
    assert load(tmp_path / "3")["train"].class_names == ("test1", "test2")
    assert told(tmp_path / "3") == []


IN_TRAIN = numbered("train/cat", "train/dog")
CANNOT_BE_TOLD = "which folders are splits and which are classes cannot be told"
# What is wrong: (the files, words of the refusal).
REFUSED = {
    "a file beside split folders": (
        [*IN_TRAIN, "test1/1.jpg"],
        [CANNOT_BE_TOLD, "test1 (images and no folders), train (2 folders)"],
    ),
    "split names without folders": (["train/1.jpg", "test1/1.jpg"], [CANNOT_BE_TOLD]),
    "a split beside classes": (
        numbered("cat", "dog", "test/cat", "test/dog"), [CANNOT_BE_TOLD, "test (2 folders)"],
    ),
    "a folder of notes beside splits": (
        [*IN_TRAIN, *numbered("test/cat", "test/dog"), "notes/a.txt"],
        [CANNOT_BE_TOLD, "notes (no images)"],
    ),
    "as many split names as classes": (numbered("train", "test", "boat"), [CANNOT_BE_TOLD]),
    "words of splits": (
        [*numbered("seg_train/a", "seg_train/b", "seg_test/a"), "seg_pred/1.jpg"],
        [CANNOT_BE_TOLD, "seg_test (1 folder)"],
    ),
    "words of splits alone": (
        numbered("training_set/a", "training_set/b", "Testset/a"), [CANNOT_BE_TOLD]
    ),
    "no train split": (["test/cat/1.jpg", "val/cat/1.jpg"], ["no train folder", "test, val"]),
    "two validation splits": (
        numbered("train/cat", "val/cat", "validation/cat"), ["val and validation are both the"],
    ),
    "two test splits": (
        numbered("train/cat", "holdout/cat", "test/cat"), ["holdout and test are both the test"],
    ),
    "a split without classes": (
        [*IN_TRAIN, "test/1.jpg", "test/2.jpg"],
        ["/test holds no class folders", "images without a class: 2"],
    ),
    "splits below the classes": (
        numbered("cat/train", "cat/test", "dog/train"),
        ["/cat: test, train are splits inside a class", "test/cat"],
    ),
    "splits of different classes": (
        numbered("train/cat", "train/dog", "val/cat", "val/cow", "val/dog", "test/cat", "test/dog"),
        ["val and ", "train have different class folders: cow stand"],
    ),
    "a copy in a class": (
        numbered("daisy", "roses", "daisy/deep/flower_photos/Roses"),
        ["in the folder of class daisy", "daisy/deep/flower_photos/Roses. A copy"],
    ),
    "a copy beside the classes": (
        numbered("daisy", "roses", "flower_photos/daisy"), ["folder of class flower_photos"],
    ),
    "one class": (numbered("cat"), ["one class folder only (cat)"]),
    "a folder around the classes": (
        numbered("photos/cat", "photos/dog"), ["(photos)", "In it lie cat, dog", "move them up"],
    ),
    "nothing": ([], ["holds no class folders (one folder of images for each class)."]),
    "a file": (["notes.txt"], ["holds no class folders"]),
    "litter": ([".hidden/1.jpg", "__MACOSX/1.jpg"], ["holds no class folders"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_give_wrong_labels_or_splits_is_refused(tmp_path, kind):
    names, words = REFUSED[kind]
    message = refused(touch(tmp_path, *names))
    assert str(tmp_path) in message
    assert "\n" not in message
    for each in words:
        assert each in message


def test_folders_that_are_none(tmp_path):
    assert "--data_dir" in refused(None)
    assert refused(tmp_path / "nowhere") == f"--data_dir={tmp_path / 'nowhere'} does not exist."
    touch(tmp_path, "file")
    assert refused(tmp_path / "file") == f"--data_dir={tmp_path / 'file'} is a file, not a folder."


LITTER = [
    ".DS_Store", "__MACOSX/cat/._1.jpg", "@eaDir/1.jpg", "$RECYCLE.BIN/1.jpg", "lost+found/",
    "System Volume Information/1.jpg", ".ipynb_checkpoints/1.jpg", "Thumbs.db", "._cat",
    "cat/._1.jpg", "cat/THUMBS.DB", "cat/desktop.ini", "cat/@eaDir/1.jpg/SYNO_THUMB.jpg",
    "cat/.ipynb_checkpoints/1-checkpoint.jpg", "cat/deep/__MACOSX/2.jpg",
    "runs/one/config.json", "runs/one/plan.json", "runs/one/plots/curve.png",
    "begun/run/lock", "begun/run/tensorflow.log", "inspect-image_folder/inspect.json",
    "cat/run/config.json", "cat/run/plan.json", "cat/run/plots/confusion.png",
]  # fmt: skip


def test_what_systems_and_programs_leave_is_neither_class_nor_image(tmp_path):
    clean = touch(tmp_path / "clean", *numbered("cat", "dog"))
    found = touch(tmp_path / "found", *numbered("cat", "dog"), *LITTER)
    for split, source in load(clean).items():
        assert names_in(load(found), split, found) == names_in({split: source}, split, clean)
        assert source.class_names == load(found)[split].class_names
    (line,) = told(found)
    assert line.startswith("left out 19 files and folders of systems and programs: 2 ._*, ")
    assert told(clean) == []


def test_litter_beside_split_folders(tmp_path):
    touch(tmp_path, *IN_TRAIN, "__MACOSX/1.jpg", "train/@eaDir/1.jpg", "train/cat/.DS_Store")
    assert load(tmp_path)["train"].class_names == ("cat", "dog")
    assert told(tmp_path) == [
        "left out 3 files and folders of systems and programs: 1 .DS_Store, 1 @eaDir, 1 __MACOSX."
    ]


def test_a_class_with_images_and_runs_stays_one(tmp_path):
    run = ["cat/run/config.json", "cat/run/plan.json", "cat/2020/1.jpg", "cat/2021/1.jpg"]
    touch(tmp_path, *run, *numbered("dog"))
    assert load(tmp_path)["train"].class_names == ("cat", "dog")


def test_images_of_other_endings_are_told(tmp_path):
    touch(tmp_path, *numbered("cat", "dog"), "cat/a.webp", "cat/b.WEBP", "dog/c.tif", "cat/IMG_1")
    os.mkfifo(tmp_path / "cat" / "x.pipe")
    assert told(tmp_path) == [
        "left out 1 .pipe, 1 .tif, 2 .webp, 1 without an ending: trained on are .bmp, .gif, "
        ".jfif, .jpe, .jpeg, .jpg, .png; convert or rename images."
    ]


def test_images_in_no_class_and_links_to_folders_are_told(tmp_path):
    touch(tmp_path / "photos", *numbered("cat", "dog"), "stray.jpg", "readme.txt", "b.heic")
    (tmp_path / "photos" / "cat" / "more").symlink_to(tmp_path)
    stray, heic = tmp_path / "photos" / "stray.jpg", tmp_path / "photos" / "b.heic"
    assert told(tmp_path / "photos") == [
        f"left out 2 images in no class folder: {heic}, {stray}.",
        "left out 1 link to a folder inside class folders, which are not followed: "
        f"{tmp_path / 'photos' / 'cat' / 'more'}; copy the images there.",
    ]


@pytest.mark.parametrize("place", [".", "train"])
def test_a_class_that_is_a_link_to_nothing(tmp_path, place):
    touch(tmp_path / place, *numbered("cat", "dog"))
    (tmp_path / place / "emu").symlink_to("/gone/emu")
    assert refused(tmp_path) == (
        f"{tmp_path / place}: a link leads nowhere: emu -> /gone/emu; bring back what it points "
        "to, or take the link away."
    )


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("first", "second"), [("Cat", "cat"), ("cat", "cat "), (NFD, NFC)], ids=ascii
)
@pytest.mark.parametrize("places", [("", ""), ("train/", "test/")], ids=["classes", "splits"])
def test_names_that_people_do_not_tell_apart(tmp_path, first, second, places):
    ours, theirs = (f"{place}{name}" for place, name in zip(places, (first, second)))
    touch(tmp_path, *numbered(ours, theirs, *{f"{place}dog" for place in places}))
    assert refused(tmp_path) == (
        f"{tmp_path}: class folders {first!a} and {second!a} have one name but for case, Unicode "
        "form or spaces; merge them, or rename one."
    )


def test_letters_of_both_cases_are_classes(tmp_path):
    touch(tmp_path, *numbered("a", "A", "b"))
    assert load(tmp_path)["train"].class_names == ("A", "a", "b")


def test_classes_without_images(tmp_path):
    touch(tmp_path, *numbered("cat", "dog"), "emu/notes.txt", "gnu/a/1.webp", "gnu/2.tif")
    (tmp_path / "fox").mkdir()
    assert refused(tmp_path) == (
        f"{tmp_path}: no image (.bmp, .gif, .jfif, .jpe, .jpeg, .jpg, .png) in class folder emu "
        "(it holds 1 .txt: convert or rename them), fox, gnu (it holds 1 .tif, 1 .webp: convert or "
        "rename them); add some, or move it elsewhere."
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
