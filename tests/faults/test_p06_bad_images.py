"""P6: bad images of 25 kinds among good and odd ones, and caches that are killed or damaged.

Strict, a run ends before its first step and names every bad file. Skipping, it has the same bits as
a run on a folder in which they were deleted. A cache changes no bit, whatever befell it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults.tools import image_kinds, runs
from faults.tools.sizes import SEED, sized

from flowrate.records import read_json

_CLASSES = ("cat", "dog", "emu")
_FLAGS = {
    "dataset": "image_folder", "image_size": 40, "model": "cnn", "augmentation": "flip",
    "epochs": 2, "global_batch_size": 20, "log_every_steps": 1, "deterministic": True,
    "report": False,
}  # fmt: skip
# How many images there are, and how many of them are bad.
_NUM_IMAGES, _NUM_BAD = sized((200, 12), (1000, 60))
_NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def _good_images(folder: Path, count: int = _NUM_IMAGES) -> Path:
    """Makes a folder of classes; every fourth file is of an odd kind."""
    odd = list(image_kinds.ODD.values())
    for number in range(count):
        path = folder / _CLASSES[number % len(_CLASSES)] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = image_kinds.picture(SEED * 10_000 + number)
        if number % 4:
            image.save(path, quality=90)
        else:
            odd[number // 4 % len(odd)](path, image)
    return folder


def _add_bad(folder: Path) -> dict[Path, str]:
    """Puts files of each kind in turn among the others: {path: words of the reason}."""
    kinds = list(image_kinds.BAD.values())
    random.Random(SEED).shuffle(kinds)
    found = {}
    for number in range(_NUM_BAD):
        maker, words = kinds[number % len(kinds)]
        path = folder / _CLASSES[number % len(_CLASSES)] / f"{7 * number:04}-bad.jpg"
        maker(path, image_kinds.picture(number))
        found[path] = words
    return found


def _training(folder: Path, name: str, photos: Path, prefix: Sequence[str] = (), **flags):
    """A run in `folder`, with a cache of the folder's own."""
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    flags = {**_FLAGS, "data_dir": photos, **flags}
    return runs.Training(folder / name, environment=environment, prefix=tuple(prefix), **flags)


def _check_named(ended: runs.Ended, bad: dict[Path, str]) -> None:
    assert ended.exit_code == 3, f"status {ended.exit_code}, not 3: {ended.last_line}"
    assert ended.stderr.count("\n") == 1, f"{ended.stderr.count(chr(10))} lines, not one"
    text = ended.stderr
    _, found, rest = text.partition("all named in ")
    if found:
        text += Path(rest.partition(". Repair")[0]).read_text()
    assert f"{len(bad)} image" in text, f"not {len(bad)} named: {text[:80]}"
    for path, words in bad.items():
        assert f"{path}: " in text, f"{path.name} is not named"
        assert words in text.split(f"{path}: ")[-1][:200], f"{path.name}: not {words!r}"


def test_all_are_named_in_one_pass(tmp_path, record):
    photos = _good_images(tmp_path / "photos", _NUM_IMAGES - _NUM_BAD)
    bad = _add_bad(photos)
    ended = _training(tmp_path, "run", photos).run()
    _check_named(ended, bad)
    record(images_named=len(bad), most_naming_seconds=ended.seconds)


@pytest.mark.slow
@pytest.mark.parametrize("cache", sized(("device",), ("none", "memory", "disk", "device")))
def test_skipping_is_as_if_they_were_deleted(cache, tmp_path, record):
    photos = _good_images(tmp_path / "photos", _NUM_IMAGES - _NUM_BAD)
    clean = Path(shutil.copytree(photos, tmp_path / "clean"))
    bad = _add_bad(photos)
    skipping = _training(tmp_path, "run", photos, on_bad_image="skip", cache=cache)
    skipping.finish()
    assert read_json(skipping.run_dir / "result.json")["skipped_images"] == len(bad)
    deleted = _training(tmp_path, "deleted", clean, cache="memory")
    deleted.finish()
    runs.check_same_run(skipping.run_dir, deleted.run_dir)
    record(images_skipped=len(bad))


def test_an_unreadable_file(tmp_path, record):
    """Root may read all, so the right to is taken away."""
    is_root = os.geteuid() == 0
    if is_root and not shutil.which(_NO_OVERRIDE[0]):
        pytest.skip("needs setpriv, or another user than root")
    photos = _good_images(tmp_path / "photos", 20)
    maker, words = image_kinds.UNREADABLE
    path = photos / "cat" / "unreadable.jpg"
    maker(path, image_kinds.picture(1))
    ended = _training(tmp_path, "run", photos, _NO_OVERRIDE if is_root else ()).run()
    _check_named(ended, {path: words})
    record(images_named=1)


def test_rot_under_an_unchanged_size_and_time(tmp_path, record):
    photos = _good_images(tmp_path / "photos", 20)
    first = _training(tmp_path, "first", photos)
    first.environment["FLOWRATE_FAULT"] = "import:kill"  # The manifest is made by then.
    first.run()
    path = photos / "dog" / "0001.jpg"
    facts = path.stat()
    path.write_bytes(image_kinds.rot(path.read_bytes()))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    _check_named(_training(tmp_path, "run", photos).run(), {path: "sha256 differs from manifest"})
    record(images_named=1)


@pytest.mark.slow
def test_a_cache_whose_filling_is_killed(tmp_path, record):
    photos, generator = _good_images(tmp_path / "photos"), random.Random(SEED)
    undisturbed = _training(tmp_path, "undisturbed", photos, cache="memory")
    undisturbed.finish()
    training = _training(tmp_path, "run", photos, cache="disk")
    num_kills = num_left = 0
    for _ in range(sized(3, 20)):
        with runs.running(training) as process:
            training.wait_until(process, lambda: _files(tmp_path, "partial"), poll_seconds=0.0005)
            time.sleep(generator.uniform(0, 0.15))
            num_kills += process.poll() is None
        num_left += bool(_files(tmp_path, "partial"))
        for path in _files(tmp_path, "npy"):  # It came through: the next one is to fill anew.
            path.unlink()
    assert num_left, f"none of {num_kills} kills fell into the fill"
    assert "was left half made is deleted" in training.finish().stdout
    assert not _files(tmp_path, "partial")
    runs.check_same_run(training.run_dir, undisturbed.run_dir)
    record(kills=num_kills, kills_in_a_fill=num_left)


@pytest.mark.slow
@pytest.mark.parametrize("damage", sized(("one_bit",), ("cut", "one_bit", "empty", "stale")))
def test_a_damaged_cache_is_made_anew(damage, tmp_path, record):
    photos = _good_images(tmp_path / "photos")
    _training(tmp_path, "first", photos, cache="disk").finish()
    for path in _files(tmp_path, "npy"):
        whole = path.read_bytes()
        middle = random.Random(SEED).randrange(200, len(whole))
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        contents = {"cut": whole[:middle], "one_bit": flipped, "empty": b""}
        path.write_bytes(contents.get(damage, whole))
    if damage == "stale":
        image_kinds.picture(77).save(photos / "cat" / "0003.jpg")
    undisturbed = _training(tmp_path, "undisturbed", photos, cache="memory")
    undisturbed.finish()
    training = _training(tmp_path, "run", photos, cache="disk")
    said = training.finish().stdout
    assert damage == "stale" or "it is made anew" in said
    runs.check_same_run(training.run_dir, undisturbed.run_dir)
    record(caches_made_anew=1)


@pytest.mark.slow
def test_two_fill_one_cache(tmp_path, record):
    photos = _good_images(tmp_path / "photos")
    both = [_training(tmp_path, f"run-{number}", photos, cache="disk") for number in range(2)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(runs.running(training)) for training in both]
        for training, process in zip(both, processes):
            ended = training.end(process)
            assert ended.exit_code == 0, ended.last_line
    assert len(_files(tmp_path, "npy")) == 2, "not one for each split"
    runs.check_same_run(both[0].run_dir, both[1].run_dir)
    record(readers_at_once=2)


def _files(folder: Path, ending: str) -> list[Path]:
    return list((folder / "cache" / "flowrate" / "decoded").glob(f"*.{ending}"))
