"""Cache tiers: the same pixels from each; the disk's is made anew when it must be."""

from __future__ import annotations

import os
import platform
import shutil
from collections import namedtuple

import numpy as np
import pytest

from flowrate.errors import ConfigError, DataError, DiskError
from input_pipelines.folders.listing import list_folder

SHAPE = (12, 10, 3)
MIB = 2**20
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def cache(tf):
    from input_pipelines import cache as _cache

    return _cache


@pytest.fixture
def cached_files(tmp_path, monkeypatch):
    """Returns a function that lists the cache folder, which is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "flowrate" / "decoded"
    return lambda: sorted(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def source(image_folder):
    """100 JPEGs in two classes."""
    return list_folder(image_folder(per_class=50))


@pytest.fixture
def read_all(tf):
    """Returns a function: a source's images and labels, by way of the pipeline."""
    from input_pipelines.blocks import evaluation_blocks

    def read(source) -> tuple[np.ndarray, np.ndarray]:
        blocks = list(evaluation_blocks(source, SHAPE, global_batch_size=7, steps_per_block=3))
        images, labels, weights = (
            np.concatenate([block[name].numpy().reshape(-1, *shape) for block in blocks])
            for name, shape in (("images", SHAPE), ("labels", ()), ("weights", ()))
        )
        return images[weights == 1], labels[weights == 1]

    return read


def test_every_tier_gives_the_same_pixels(cache, source, cached_files, read_all):
    results = {
        tier: read_all(cache.apply_tier(source, tier, SHAPE)) for tier in ("none", "memory", "disk")
    }
    images, labels = results["none"]
    assert images.shape == (100, *SHAPE)
    assert len(np.unique(images.reshape(100, -1), axis=0)) == 100
    np.testing.assert_array_equal(labels, source.labels)
    for tier in ("memory", "disk"):
        np.testing.assert_array_equal(results[tier][0], images)
        np.testing.assert_array_equal(results[tier][1], labels)
    assert len(cached_files()) == 1


def test_what_each_tier_is(cache, source, cached_files):
    assert cache.apply_tier(source, "none", SHAPE) is source
    in_memory = cache.apply_tier(source, "memory", SHAPE)
    assert type(in_memory.images) is np.ndarray
    assert cached_files() == []
    on_disk = cache.apply_tier(source, "disk", SHAPE)
    assert isinstance(on_disk.images, np.memmap)
    for tier in (in_memory, on_disk):
        assert tier.class_names == source.class_names


def test_the_disk_cache_is_read_and_not_decoded_again(cache, source, cached_files):
    first = np.array(cache.apply_tier(source, "disk", SHAPE).images)
    (path,) = cached_files()
    before = path.stat()
    again = cache.apply_tier(source, "disk", SHAPE, pytest.fail).images
    np.testing.assert_array_equal(again, first)
    assert path.stat() == before


def test_the_disk_cache_is_made_anew_when_a_file_changes(cache, source, cached_files, tf):
    before = np.array(cache.apply_tier(source, "disk", SHAPE).images)
    source.paths[5].write_bytes(tf.io.encode_jpeg(np.full((9, 9, 3), 200, np.uint8)).numpy())
    after = cache.apply_tier(source, "disk", SHAPE).images
    np.testing.assert_array_equal(after[5], np.full(SHAPE, 200))
    np.testing.assert_array_equal(np.delete(after, 5, axis=0), np.delete(before, 5, axis=0))


def test_a_change_that_keeps_the_size_is_seen_by_its_time(cache, source, cached_files):
    swapped = [source.paths[0], source.paths[1]]
    for path in swapped:  # the same length, whatever the picture
        path.write_bytes(path.read_bytes().ljust(4000, b"\0"))
    before = np.array(cache.apply_tier(source, "disk", SHAPE).images)
    contents = [path.read_bytes() for path in swapped]
    for path, content in zip(swapped, reversed(contents)):
        facts = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    after = cache.apply_tier(source, "disk", SHAPE).images
    np.testing.assert_array_equal(after[:2], before[1::-1])


def test_what_another_run_is_writing_is_left_alone(cache, source, cached_files):
    cache.apply_tier(source, "disk", SHAPE)
    (path,) = cached_files()
    other = path.with_name(f"{path.stem}.{os.getppid()}@{platform.node()}.partial")
    path.rename(other)
    cache.apply_tier(source, "disk", SHAPE)
    assert cached_files() == sorted([path, other])


def test_a_file_that_vanished(cache, source, cached_files):
    source.paths[1].unlink()
    with pytest.raises(DataError) as caught:
        cache.apply_tier(source, "disk", SHAPE)
    assert str(caught.value) == f"{source.paths[1]}: cannot be read: No such file or directory."


def test_no_room_on_the_disk(cache, source, cached_files, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(MIB, MIB - 1000, 1000))
    with pytest.raises(DiskError) as caught:
        cache.apply_tier(source, "disk", SHAPE)
    folder = cache.cache_folder("decoded")
    assert str(caught.value) == (
        f"--cache=disk needs 36,000 bytes in {folder}, 1,000 are free; "
        "use --cache=none, or set XDG_CACHE_HOME to a larger disk."
    )
    assert cached_files() == []


def test_a_cache_folder_that_cannot_be_made(cache, source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DiskError, match=r"^cannot write the cache .*: Not a directory\.$"):
        cache.apply_tier(source, "disk", SHAPE)


def test_arrays_stay_as_they_are_or_are_resized(cache, tf):
    from input_pipelines.source import ArraySource

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (1500, 6, 5, 1), np.uint8)
    source = ArraySource(images, np.arange(1500, dtype=np.int32) % 2, ("a", "b"))
    for tier in ("none", "memory", "disk"):
        assert cache.apply_tier(source, tier, (6, 5, 1)) is source
        found = cache.apply_tier(source, tier, (9, 8, 3))
        expected = np.rint(tf.image.resize(images, (9, 8))).astype(np.uint8)
        np.testing.assert_array_equal(found.images, np.repeat(expected, 3, axis=-1))
        np.testing.assert_array_equal(found.labels, source.labels)
        assert found.class_names == source.class_names


def choose(cache, asked: str, num_bytes: int, *, is_decoded=False, device=1, free_device=0):
    """What is chosen, where nothing is said of it on a machine whose device is full."""
    return cache.choose_tier(
        asked, num_bytes, is_decoded, device_bytes=device, free_device_bytes=free_device
    )


@pytest.fixture
def free(cache, monkeypatch):
    """Returns a function that sets how many bytes of memory and of the disk are free."""

    def set_free(memory: int, disk: int) -> None:
        monkeypatch.setattr(cache, "available_memory_bytes", lambda: memory)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2 * disk, disk, disk))

    return set_free


@pytest.mark.parametrize(
    ("num_bytes", "tier", "reason"),
    [
        (0, "memory", "0 MiB decoded, 1,000 MiB of memory free"),
        (500 * MIB, "memory", "500 MiB decoded, 1,000 MiB of memory free"),
        (500 * MIB + 1, "disk", "500 MiB decoded: too much for memory, not for the disk"),
        (2000 * MIB, "disk", "2,000 MiB decoded: too much for memory, not for the disk"),
        (2000 * MIB + 1, "none", "2,000 MiB decoded: too much for memory and disk"),
    ],
)
def test_auto_takes_half_of_what_is_free(cache, free, num_bytes, tier, reason):
    free(1000 * MIB, 4000 * MIB)
    assert choose(cache, "auto", num_bytes) == cache.TierChoice(tier, reason)


def test_what_is_asked_for_is_taken_and_arrays_are_in_memory_already(cache, free):
    free(1, 1)
    for asked in ("none", "memory", "disk"):
        assert choose(cache, asked, 10**12) == cache.TierChoice(asked, f"--cache={asked}")
        assert choose(cache, asked, 10**12, is_decoded=True).tier == "memory"
    assert choose(cache, "auto", 10**12, is_decoded=True).tier == "memory"


@pytest.mark.parametrize("is_decoded", [False, True])
@pytest.mark.parametrize(("device", "tier"), [(25 * MIB, "device"), (25 * MIB + 1, "memory")])
def test_auto_takes_the_device_where_a_quarter_is_enough(cache, free, device, tier, is_decoded):
    free(1000 * MIB, 0)
    sizes = {"is_decoded": is_decoded, "device": device, "free_device": 100 * MIB}
    choice = choose(cache, "auto", 30 * MIB, **sizes)
    assert choice.tier == tier
    if tier == "device":
        assert choice.reason == "25 MiB decoded, 100 MiB free on the device"


def test_auto_decodes_nothing_into_memory_that_does_not_fit_there(cache, free):
    """What is copied to the device is decoded into memory first."""
    free(1000 * MIB, 4000 * MIB)
    assert choose(cache, "auto", 501 * MIB, device=1, free_device=10**12).tier == "disk"


def test_the_device_is_refused_where_the_set_does_not_fit(cache, free):
    free(10**12, 10**12)
    assert choose(cache, "device", 10, device=10, free_device=10).tier == "device"
    with pytest.raises(ConfigError, match=r"--cache=device: 2 MiB decoded, 1 MiB free .* use"):
        choose(cache, "device", 2 * MIB, device=2 * MIB, free_device=MIB)


def test_each_selection_and_each_size_has_a_cache_of_its_own(cache, source, cached_files):
    whole = cache.apply_tier(source, "disk", SHAPE).images
    part = cache.apply_tier(source.take(np.array([7, 2])), "disk", SHAPE).images
    np.testing.assert_array_equal(part, whole[[7, 2]])
    grey = cache.apply_tier(source, "disk", (12, 10, 1)).images
    assert grey.shape == (100, 12, 10, 1)
    assert len(cached_files()) == 3
