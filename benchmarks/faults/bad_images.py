"""Bad images of 25 kinds among good and odd ones, and caches that are killed or damaged.

Strict, a run ends before its first step and names every bad file. Skipping, it has the same bits as
a run on a folder in which they were deleted. A cache changes no bit, whatever befell it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults import _bad_images, _runs
from benchmarks.faults._attempt import Attempt, NotHere, check
from flowrate.records import read_json

ID = "P6"
TITLE = "bad images are all named in one pass, or skipped with the same bits as if deleted"

_CLASSES = ("cat", "dog", "emu")
_FLAGS = {
    "dataset": "image_folder", "image_size": 40, "model": "cnn", "augmentation": "flip",
    "epochs": 2, "global_batch_size": 20, "log_every_steps": 1, "deterministic": True,
    "report": False,
}  # fmt: skip
_NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns the attempts, on 200 images of which 12 are bad, or on 1,000 and 60."""
    counts = {"num_images": 1000, "num_bad": 60} if full else {"num_images": 200, "num_bad": 12}
    damages = ("cut", "one bit", "empty", "a file changed since")

    def make(run, **options):
        return functools.partial(run, seed=seed, **counts, **options)

    return [
        Attempt("all are named", make(_name_all), is_quick=True),
        *(Attempt(f"skipped, --cache={tier}", make(_skip, cache=tier))
          for tier in (("none", "memory", "disk", "device") if full else ("none", "device"))),
        Attempt("unreadable", _unreadable, is_quick=True),
        Attempt("rot under an unchanged time", _rot, is_quick=True),
        Attempt("cache killed in the fill", make(_kill_in_fill, kills=20 if full else 3)),
        *(Attempt(f"cache: {damage}", make(_damage, damage=damage))
          for damage in (damages if full else damages[1:2])),
        Attempt("two fill one cache", make(_fill_at_once)),
    ]  # fmt: skip


def _good_images(folder: Path, count: int, seed: int) -> Path:
    """Makes a folder of classes; every fourth file is of an odd kind."""
    odd = list(_bad_images.ODD.values())
    for number in range(count):
        path = folder / _CLASSES[number % len(_CLASSES)] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = _bad_images.picture(seed * 10_000 + number)
        if number % 4:
            image.save(path, quality=90)
        else:
            odd[number // 4 % len(odd)](path, image)
    return folder


def _add_bad(folder: Path, count: int, seed: int) -> dict[Path, str]:
    """Puts files of each kind in turn among the others: {path: words of the reason}."""
    kinds = list(_bad_images.BAD.values())
    random.Random(seed).shuffle(kinds)
    found = {}
    for number in range(count):
        maker, words = kinds[number % len(kinds)]
        path = folder / _CLASSES[number % len(_CLASSES)] / f"{7 * number:04}-bad.jpg"
        maker(path, _bad_images.picture(number))
        found[path] = words
    return found


def _training(folder: Path, name: str, photos: Path, prefix: Sequence[str] = (), **flags):
    """A run in `folder`, with a cache of the folder's own."""
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    flags = {**_FLAGS, "data_dir": photos, **flags}
    return _runs.Training(folder / name, environment=environment, prefix=tuple(prefix), **flags)


def _check_named(ended: _runs.Ended, bad: dict[Path, str]) -> None:
    check(ended.exit_code == 3, f"status {ended.exit_code}, not 3: {ended.last_line}")
    check(ended.stderr.count("\n") == 1, f"{ended.stderr.count(chr(10))} lines, not one")
    text = ended.stderr
    _, found, rest = text.partition("all named in ")
    if found:
        text += Path(rest.partition(". Repair")[0]).read_text()
    check(f"{len(bad)} image" in text, f"not {len(bad)} named: {text[:80]}")
    for path, words in bad.items():
        check(f"{path}: " in text, f"{path.name} is not named")
        check(words in text.split(f"{path}: ")[-1][:200], f"{path.name}: not {words!r}")


def _name_all(folder: Path, seed: int, num_images: int, num_bad: int) -> dict[str, float]:
    photos = _good_images(folder / "photos", num_images - num_bad, seed)
    bad = _add_bad(photos, num_bad, seed)
    ended = _training(folder, "run", photos).run()
    _check_named(ended, bad)
    return {"images_named": len(bad), "most_naming_seconds": ended.seconds}


def _skip(folder: Path, seed: int, num_images: int, num_bad: int, cache: str) -> dict[str, float]:
    photos = _good_images(folder / "photos", num_images - num_bad, seed)
    clean = folder / "clean"
    shutil.copytree(photos, clean)
    bad = _add_bad(photos, num_bad, seed)
    skipping = _training(folder, "run", photos, on_bad_image="skip", cache=cache)
    skipping.finish()
    result = read_json(skipping.run_dir / "result.json")
    counted = result["skipped_images"]
    check(counted == len(bad), f"{counted} counted as skipped, not {len(bad)}")
    deleted = _training(folder, "deleted", clean, cache="memory")
    deleted.finish()
    _runs.check_same_run(skipping.run_dir, deleted.run_dir)
    return {"images_skipped": counted}


def _unreadable(folder: Path) -> dict[str, float]:
    """Root may read all, so the right to is taken away."""
    is_root = os.geteuid() == 0
    if is_root and not shutil.which(_NO_OVERRIDE[0]):
        raise NotHere("needs setpriv, or another user than root")
    photos = _good_images(folder / "photos", 20, 0)
    maker, words = _bad_images.UNREADABLE
    path = photos / "cat" / "unreadable.jpg"
    maker(path, _bad_images.picture(1))
    ended = _training(folder, "run", photos, _NO_OVERRIDE if is_root else ()).run()
    _check_named(ended, {path: words})
    return {"images_named": 1}


def _rot(folder: Path) -> dict[str, float]:
    photos = _good_images(folder / "photos", 20, 0)
    first = _training(folder, "first", photos)
    first.environment["FLOWRATE_FAULT"] = "import:kill"  # The manifest is made by then.
    first.run()
    path = photos / "dog" / "0001.jpg"
    facts = path.stat()
    path.write_bytes(_bad_images.rot(path.read_bytes()))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    ended = _training(folder, "run", photos).run()
    _check_named(ended, {path: "sha256 differs from manifest"})
    return {"images_named": 1}


def _undisturbed(folder: Path, photos: Path) -> Path:
    training = _training(folder, "undisturbed", photos, cache="memory")
    training.finish()
    return training.run_dir


def _kill_in_fill(
    folder: Path, seed: int, num_images: int, num_bad: int, kills: int
) -> dict[str, float]:
    photos = _good_images(folder / "photos", num_images, seed)
    undisturbed, generator = _undisturbed(folder, photos), random.Random(seed)
    training = _training(folder, "run", photos, cache="disk")
    num_kills = num_left = 0
    for _ in range(kills):
        with _runs.running(training) as process:
            training.wait_until(process, lambda: _partial_files(folder), poll_seconds=0.0005)
            time.sleep(generator.uniform(0, 0.15))
            is_killed = process.poll() is None
        num_kills += is_killed
        num_left += bool(_partial_files(folder))
        for path in _cache_files(folder):  # It came through: the next one is to fill anew.
            path.unlink()
    check(num_left, f"none of {num_kills} kills fell into the fill")
    ended = training.finish()
    check(
        not num_left or "was left half made is deleted" in ended.stdout,
        "nothing is said of the kill",
    )
    check(not _partial_files(folder), f"left behind: {_partial_files(folder)}")
    _runs.check_same_run(training.run_dir, undisturbed)
    return {"kills": num_kills, "kills_in_a_fill": num_left}


def _damage(
    folder: Path, seed: int, num_images: int, num_bad: int, damage: str
) -> dict[str, float]:
    photos = _good_images(folder / "photos", num_images, seed)
    _training(folder, "first", photos, cache="disk").finish()
    for path in _cache_files(folder):
        whole = path.read_bytes()
        middle = random.Random(seed).randrange(200, len(whole))
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        contents = {"cut": whole[:middle], "one bit": flipped, "empty": b""}
        path.write_bytes(contents.get(damage, whole))
    if damage == "a file changed since":
        _bad_images.picture(77).save(photos / "cat" / "0003.jpg")
    undisturbed = _undisturbed(folder, photos)
    training = _training(folder, "run", photos, cache="disk")
    ended = training.finish()
    is_damaged = damage != "a file changed since"
    check(not is_damaged or "it is made anew" in ended.stdout, "nothing is said of the damage")
    _runs.check_same_run(training.run_dir, undisturbed)
    return {"caches_made_anew": 1}


def _fill_at_once(folder: Path, seed: int, num_images: int, num_bad: int) -> dict[str, float]:
    photos = _good_images(folder / "photos", num_images, seed)
    both = [_training(folder, f"run-{number}", photos, cache="disk") for number in range(2)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_runs.running(training)) for training in both]
        for training, process in zip(both, processes):
            ended = training.end(process)
            check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
    check(len(_cache_files(folder)) == 2, f"caches: {_cache_files(folder)}, not one for each split")
    _runs.check_same_run(both[0].run_dir, both[1].run_dir)
    return {"readers_at_once": 2}


def _cache_files(folder: Path) -> list[Path]:
    return list((folder / "cache" / "flowrate" / "decoded").glob("*.npy"))


def _partial_files(folder: Path) -> list[Path]:
    return list((folder / "cache" / "flowrate" / "decoded").glob("*.partial"))
