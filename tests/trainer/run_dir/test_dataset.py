"""Data that changed under a run are refused with the difference, or accepted in so many words."""

from __future__ import annotations

import gzip
import os
import shutil

import pytest

from flowrate.errors import RunDirError
from flowrate.records import read_json
from input_pipelines.loading import load_sources
from trainer.run_dir.dataset import DatasetRecord

PLACE = "dataset.json.gz"


@pytest.fixture
def folder(image_folder):
    return image_folder()


@pytest.fixture
def record(folder):
    """Returns a function: -> the record of the folder as it is now."""

    def read() -> DatasetRecord:
        return DatasetRecord.of(load_sources("image_folder", data_dir=str(folder)))

    return read


@pytest.fixture
def begin(record, tmp_path):
    """The folder of a run that has begun on the data as they are."""
    (tmp_path / "run").mkdir()
    record().check(tmp_path / "run", False, print)
    record().save(tmp_path / "run")
    return tmp_path / "run"


def change(folder, what):
    dog = folder / "dog"
    if what == "added":
        shutil.copy(dog / "dog_001.jpg", dog / "dog_100.jpg")
    elif what == "removed":
        (dog / "dog_004.jpg").unlink()
    elif what == "changed":
        shutil.copy(dog / "dog_001.jpg", dog / "dog_002.jpg")
    else:
        (dog / "dog_003.jpg").rename(folder / "cat" / "dog_003.jpg")


CHANGES = {
    "added": "+1 -0 ~0 (added: dog/dog_100.jpg)",
    "removed": "+0 -1 ~0 (removed: dog/dog_004.jpg)",
    "changed": "+0 -0 ~1 (changed: dog/dog_002.jpg)",
    "moved": "+1 -1 ~0 (added: cat/dog_003.jpg; removed: dog/dog_003.jpg)",
}


def test_arrays_have_no_record():
    assert DatasetRecord.of(load_sources("digits")) is None


def test_the_same_data_go_on(record, begin):
    before = (begin / PLACE).read_bytes()
    record().check(begin, False, pytest.fail)
    record().save(begin)
    assert (begin / PLACE).read_bytes() == before
    assert os.listdir(begin) == [PLACE]


def test_the_folder_may_be_moved_and_its_files_touched(record, begin, folder, tmp_path):
    for path in folder.rglob("*.jpg"):
        os.utime(path)
    record().check(begin, False, pytest.fail)
    folder.rename(tmp_path / "elsewhere")
    moved = DatasetRecord.of(load_sources("image_folder", data_dir=str(tmp_path / "elsewhere")))
    moved.check(begin, False, pytest.fail)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_refused_with_the_difference(record, begin, folder, what):
    before = (begin / PLACE).read_bytes()
    change(folder, what)
    with pytest.raises(RunDirError) as caught:
        record().check(begin, False, print)
    for word in (f"{begin}: dataset differs: {CHANGES[what]};", "--accept_data_change"):
        assert word in str(caught.value)
    assert (begin / PLACE).read_bytes() == before


def test_a_change_that_is_accepted_is_told_and_both_records_are_kept(record, begin, folder):
    before = (begin / PLACE).read_bytes()
    change(folder, "changed")
    said = []
    record().check(begin, True, said.append)
    record().save(begin)
    assert said == [f"dataset differs: {CHANGES['changed']}; going on with it."]
    assert (begin / "dataset-before-1.json.gz").read_bytes() == before
    record().check(begin, False, pytest.fail)


def test_many_changes_are_counted(record, begin, folder):
    for number in range(8):
        (folder / "dog" / f"dog_00{number}.jpg").unlink()
    with pytest.raises(RunDirError, match=r"-8 ~0 \(removed: .*dog_004.jpg and 3 more\)"):
        record().check(begin, False, print)


def test_other_classes_are_refused_whatever_is_accepted(record, begin, folder):
    (folder / "dog").rename(folder / "hound")
    with pytest.raises(RunDirError, match="then cat, dog; now cat, hound"):
        record().check(begin, True, print)


# Named, since gzip writes the second into its bytes: the names of tests would differ from one
# process of pytest to the next.
DAMAGED = {
    "empty": b"",
    "HTML": b"<html>",
    "a list": gzip.compress(b"[1]"),
    "no fields": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_refused(record, begin, content):
    (begin / PLACE).write_bytes(content)
    with pytest.raises(RunDirError, match=rf"{PLACE} is damaged"):
        record().check(begin, False, print)


@pytest.mark.slow
def test_a_run_is_refused_and_then_goes_on(trainer_main, folder, tmp_path):
    flags = [
        "--dataset=image_folder", f"--data_dir={folder}", "--image_size=16", "--model=mlp",
        "--epochs=3", "--global_batch_size=4", "--run_dir=run", "--noreport",
        "--checkpoint_every_steps=4",
    ]  # fmt: skip
    stopped = trainer_main(*flags, FLOWRATE_FAULT="save:2:kill")
    assert stopped.returncode == -9, stopped.stderr
    change(folder, "added")
    change(folder, "changed")
    done = trainer_main(*flags)
    assert done.returncode == 5
    (line,) = done.stderr.splitlines()
    assert "dataset differs: +1 -0 ~1 (added: dog/dog_100.jpg; changed: dog/dog_002.jpg)" in line
    done = trainer_main(*flags, "--accept_data_change")
    assert done.returncode == 0, done.stderr
    assert "dataset differs: +1 -0 ~1" in done.stdout
    assert "resumed from step" in done.stdout
    assert read_json(tmp_path / "run" / "plan.json")["data"]["examples"] == {"train": 17, "test": 4}
