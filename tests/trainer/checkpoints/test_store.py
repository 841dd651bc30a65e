"""Checkpoints against real files: every kind of damage, a full disk, what is kept and swept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from flowrate.errors import DiskError, DivergedError, RunDirError
from flowrate.records import read_json
from trainer.checkpoints.progress import Progress, Totals
from trainer.checkpoints.store import ARRAYS, MANIFEST, PROGRESS, CheckpointStore

FILES = (ARRAYS, PROGRESS, MANIFEST)
OLD, NEW = 10, 20


def make_arrays(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "model/0000/kernel": generator.standard_normal((7, 5)).astype(np.float32),
        "model/0001/bias": generator.standard_normal(5).astype(np.float32),
        "optimizer/0000/iteration": np.array(seed),
        "optimizer/0001/learning_rate": np.array(0.1, np.float32),
    }


def make_progress(step: int, best: int | None = None) -> Progress:
    evaluation = best and {"step": best, "split": "test", "accuracy": 0.9, "loss": 1 / 3}
    totals = Totals(num_steps=step, num_examples=32 * step, loss=step / 7, num_correct=step)
    return Progress(step=step, since_log=totals, best=evaluation)


def assert_same_arrays(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def snapshot(folder: Path) -> dict[str, tuple]:
    """Everything in a folder: names, contents and times of change."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


class Store(CheckpointStore):
    """A store that remembers what it said."""

    def __init__(self, folder: Path, keep: int = 10):
        self.lines: list[str] = []
        super().__init__(folder, keep, self.lines.append)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A folder with whole checkpoints of steps 10 and 20, to be copied."""
    folder = tmp_path_factory.mktemp("template") / "checkpoints"
    store = Store(folder)
    for step in (OLD, NEW):
        store.save(make_arrays(step), make_progress(step))
    return folder


@pytest.fixture
def two(template, tmp_path) -> Path:
    """A copy of the folder with checkpoints of steps 10 and 20."""
    return Path(shutil.copytree(template, tmp_path / "checkpoints"))


# --- what is written comes back ---------------------------------------------------------------


def test_round_trip(tmp_path):
    store = Store(tmp_path / "checkpoints")
    assert store.latest() is None
    assert store.steps() == []
    path = store.save(make_arrays(1), make_progress(12, best=12))
    assert path == tmp_path / "checkpoints" / "ckpt-00000012"
    assert sorted(os.listdir(path)) == sorted(FILES)
    found = store.latest()
    assert_same_arrays(found.arrays, make_arrays(1))
    assert found.progress == make_progress(12, best=12)
    assert store.lines == []


DTYPES = st.sampled_from(
    [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_]
)


def finite_arrays(dtype) -> st.SearchStrategy[np.ndarray]:
    shapes = hypothesis_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    elements = {"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else {}
    return hypothesis_numpy.arrays(dtype, shapes, elements=elements)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.from_regex(r"(model|optimizer)/\d{4}/[a-z_]{1,9}", fullmatch=True),
                       DTYPES.flatmap(finite_arrays), min_size=1, max_size=4))  # fmt: skip
def test_arrays_survive_bit_for_bit(tmp_path_factory, arrays):
    """Every dtype and shape, scalars and empty ones too, with -0.0 and the smallest numbers."""
    store = Store(tmp_path_factory.mktemp("store"))
    store.save(arrays, Progress(step=1))
    assert_same_arrays(store.read(1).arrays, arrays)


def test_arrays_of_any_memory_layout_survive(tmp_path):
    store = Store(tmp_path)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"model/fortran": np.asfortranarray(whole), "model/strided": whole[::2, ::-1]}
    store.save(arrays, Progress(step=1))
    for name, array in store.read(1).arrays.items():
        np.testing.assert_array_equal(array, arrays[name])


@settings(deadline=None, max_examples=50)
@given(loss=st.floats(allow_nan=False, allow_infinity=False), norm=st.floats(0, 1e300))
def test_progress_keeps_every_bit(tmp_path_factory, loss, norm):
    store = Store(tmp_path_factory.mktemp("store"))
    totals = Totals(num_steps=3, num_examples=96, loss=loss, num_correct=7, gradient_norm=norm)
    store.save(make_arrays(0), Progress(step=3, this_epoch=totals))
    found = store.read(3).progress.this_epoch
    assert found == totals
    assert found.loss.hex() == loss.hex()


def test_the_manifest_holds_sizes_and_hashes(two):
    for step in (OLD, NEW):
        folder = two / f"ckpt-{step:08d}"
        manifest = read_json(folder / MANIFEST)
        assert manifest["schema_version"] == 1
        assert manifest["files"].keys() == {ARRAYS, PROGRESS}
        for name, facts in manifest["files"].items():
            sha256 = subprocess.run(
                ["sha256sum", folder / name], capture_output=True, text=True, check=True
            ).stdout.split()[0]
            assert facts == {"size": (folder / name).stat().st_size, "sha256": sha256}


# --- what is kept -----------------------------------------------------------------------------


def test_the_latest_are_kept(tmp_path):
    store = Store(tmp_path, keep=2)
    for step in (5, 10, 15, 20):
        store.save(make_arrays(step), make_progress(step))
    assert store.steps() == [15, 20]
    assert sorted(os.listdir(tmp_path)) == ["ckpt-00000015", "ckpt-00000020"]


def test_the_best_is_kept_besides(tmp_path):
    store = Store(tmp_path, keep=2)
    for step, best in ((5, 5), (10, 10), (15, 10), (20, 10), (25, 10), (30, 30), (35, 30)):
        store.save(make_arrays(step), make_progress(step, best=best))
        assert best in store.steps()
        assert store.steps()[-1] == step
        assert len(store.steps()) <= 3
    assert store.steps() == [30, 35]
    assert_same_arrays(store.read(30).arrays, make_arrays(30))


def test_the_best_of_each_that_is_kept_is_kept_besides(tmp_path):
    """Where the newest is damaged, the one before is gone on from, and may go back to its best."""
    store = Store(tmp_path, keep=2)
    for step, best in ((5, 5), (10, 5), (15, 5), (20, 20)):
        store.save(make_arrays(step), make_progress(step, best=best))
    assert store.steps() == [5, 15, 20]
    flip_bit(tmp_path / "ckpt-00000020" / ARRAYS, 999)
    found = Store(tmp_path, keep=2).latest()
    assert found.progress == make_progress(15, best=5)
    assert_same_arrays(store.read(found.progress.best["step"]).arrays, make_arrays(5))
    store.save(make_arrays(25), make_progress(25, best=25))
    store.save(make_arrays(30), make_progress(30, best=25))
    assert store.steps() == [25, 30]


def test_steps_of_more_than_eight_digits_stay_in_order(tmp_path):
    store = Store(tmp_path, keep=2)
    for step in (99_999_998, 99_999_999, 100_000_000):
        store.save(make_arrays(1), make_progress(step))
    assert store.steps() == [99_999_999, 100_000_000]
    assert store.latest().progress.step == 100_000_000


def test_saving_the_same_step_twice_keeps_the_second(tmp_path):
    store = Store(tmp_path)
    store.save(make_arrays(1), make_progress(5))
    store.save(make_arrays(2), make_progress(5, best=5))
    assert os.listdir(tmp_path) == ["ckpt-00000005"]
    assert_same_arrays(store.read(5).arrays, make_arrays(2))
    assert store.read(5).progress == make_progress(5, best=5)


# --- damage -----------------------------------------------------------------------------------


def assert_falls_back(folder: Path, *words: str) -> None:
    """The damage to step 20 is noticed, named and put aside; step 10 is what one gets."""
    damaged = snapshot(folder / f"ckpt-{NEW:08d}")
    store = Store(folder)
    found = store.latest()
    assert found.progress == make_progress(OLD)
    assert_same_arrays(found.arrays, make_arrays(OLD))
    (line,) = store.lines
    assert line.startswith("ckpt-00000020 damaged: ")
    assert line.endswith("; set aside; using ckpt-00000010.")
    for word in words:
        assert word in line
    assert sorted(os.listdir(folder)) == ["ckpt-00000010", "ckpt-00000020.damaged"]
    assert snapshot(folder / "ckpt-00000020.damaged") == damaged
    assert store.steps() == [OLD]


def flip_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("name", [PROGRESS, MANIFEST])
def test_no_bit_may_flip(two, name):
    path = two / "ckpt-00000020" / name
    content = path.read_bytes()
    store = Store(two)
    for bit in range(8 * len(content)):
        flip_bit(path, bit)
        with pytest.raises(RunDirError, match="ckpt-00000020 damaged: "):
            store.read(NEW)
        path.write_bytes(content)
    assert store.latest().progress.step == NEW


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_end_are_noticed(two, name):
    path = two / "ckpt-00000020" / name
    path.write_bytes(path.read_bytes() + b"\0")
    assert_falls_back(two, name)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_noticed(two, name):
    (two / "ckpt-00000020" / name).unlink()
    (two / "ckpt-00000020" / name).mkdir()
    assert_falls_back(two, f"{name}: Is a directory")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_checkpoint_is_noticed(two, name):
    shutil.copyfile(two / "ckpt-00000010" / name, two / "ckpt-00000020" / name)
    assert_falls_back(two)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"3", b'"files"', b'{"files": 3}', b'{"files": {}}', b"\xff\xfe",
     b'{"schema_version": 1, "files": {"arrays.npz": {}, "progress.json": {}}}',
     b'{"schema_version": 1, "files": []}'],
)  # fmt: skip
def test_a_manifest_of_other_content_is_noticed(two, content):
    (two / "ckpt-00000020" / MANIFEST).write_bytes(content)
    assert_falls_back(two, MANIFEST)


def test_an_empty_folder_is_noticed(two):
    shutil.rmtree(two / "ckpt-00000020")
    (two / "ckpt-00000020").mkdir()
    assert_falls_back(two, "manifest.json: No such file or directory")


def test_several_damaged_ones_are_passed_over_and_each_named(two):
    Store(two).save(make_arrays(30), make_progress(30))
    flip_bit(two / "ckpt-00000030" / ARRAYS, 999)
    (two / "ckpt-00000020" / PROGRESS).unlink()
    store = Store(two)
    assert store.latest().progress.step == OLD
    assert store.lines == [
        "ckpt-00000030 damaged: arrays.npz sha256 differs; set aside; using ckpt-00000010.",
        "ckpt-00000020 damaged: progress.json: No such file or directory; set aside; "
        "using ckpt-00000010.",
    ]
    assert store.steps() == [OLD]


def test_an_older_damaged_one_is_no_matter(two):
    before = snapshot(two)
    (two / "ckpt-00000010" / ARRAYS).write_bytes(b"")
    store = Store(two)
    assert store.latest().progress.step == NEW
    assert store.lines == []
    assert snapshot(two).keys() == before.keys()


def test_a_step_damaged_twice_is_set_aside_twice(two):
    for _ in range(2):
        flip_bit(two / "ckpt-00000020" / ARRAYS, 5)
        store = Store(two)
        assert store.latest().progress.step == OLD
        store.save(make_arrays(NEW), make_progress(NEW))
    assert sorted(os.listdir(two)) == [
        "ckpt-00000010", "ckpt-00000020", "ckpt-00000020.damaged", "ckpt-00000020.damaged-2",
    ]  # fmt: skip


def test_all_damaged_is_refused_and_no_file_touched(two):
    flip_bit(two / "ckpt-00000010" / ARRAYS, 999)
    os.truncate(two / "ckpt-00000020" / PROGRESS, 0)
    before = snapshot(two)
    store = Store(two)
    reasons = (
        "^every checkpoint is damaged, refusing to start over: "
        r"ckpt-00000020 damaged: progress\.json size differs; "
        r"ckpt-00000010 damaged: arrays\.npz sha256 differs\. "
        r"Start anew in another --run_dir\.$"
    )
    with pytest.raises(RunDirError, match=reasons):
        store.latest()
    assert snapshot(two) == before
    assert store.lines == []


# --- what an interrupted save leaves ----------------------------------------------------------


def test_leftovers_are_swept_with_a_line_each(two):
    for name in ("ckpt-00000030.tmp", "ckpt-00000005.deleted.tmp"):
        (two / name).mkdir()
        (two / name / ARRAYS).write_bytes(b"half of an archive")
    before = {name: content for name, content in snapshot(two).items() if ".tmp" not in name}
    store = Store(two)
    assert store.steps() == [OLD, NEW]
    store.sweep()
    assert snapshot(two) == before
    assert sorted(store.lines) == [
        "ignored unfinished checkpoint ckpt-00000005.deleted, swept.",
        "ignored unfinished checkpoint ckpt-00000030, swept.",
    ]


def test_sweeping_where_there_is_nothing(tmp_path):
    store = Store(tmp_path / "none")
    store.sweep()
    assert store.lines == []
    assert not (tmp_path / "none").exists()


def test_a_leftover_of_the_same_step_is_no_hindrance(two):
    leftover = two / "ckpt-00000030.tmp"
    leftover.mkdir()
    (leftover / "more").write_text("what an earlier version wrote")
    store = Store(two)
    store.save(make_arrays(30), make_progress(30))
    assert sorted(os.listdir(two / "ckpt-00000030")) == sorted(FILES)
    assert store.steps() == [OLD, NEW, 30]


def test_other_things_in_the_folder_are_left_alone(two):
    (two / "notes.txt").write_text("mine")
    (two / "ckpt-7").mkdir()
    (two / "ckpt-00000020.damaged").mkdir()
    store = Store(two, keep=1)
    store.sweep()
    store.save(make_arrays(30), make_progress(30))
    assert sorted(os.listdir(two)) == [
        "ckpt-00000020.damaged", "ckpt-00000030", "ckpt-7", "notes.txt",
    ]  # fmt: skip


# --- what must not be written -----------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_number_that_is_not_finite_is_never_written(two, value, dtype):
    before = snapshot(two)
    array = np.ones((3, 4), dtype)
    array[2, 3] = value
    message = (
        "^after step 30, optimizer/0007/momentum holds a number that is not finite; the checkpoint "
        r"was not written\. Lower --learning_rate, or set --gradient_clip_norm=1\.$"
    )
    with pytest.raises(DivergedError, match=message):
        Store(two).save(make_arrays(30) | {"optimizer/0007/momentum": array}, make_progress(30))
    assert snapshot(two) == before


def test_no_room_loses_nothing(make_disk):
    """The disk fills up in the middle of a save: the earlier checkpoint stays, no litter does."""
    folder = make_disk("size=1m") / "checkpoints"
    store = Store(folder)
    store.save(make_arrays(OLD), make_progress(OLD))
    before = snapshot(folder)
    noise = np.random.default_rng(0).bytes(2**21)
    large = {"model/0000/kernel": np.frombuffer(noise, np.uint8)}
    message = (
        r"^disk full: 2,130,432 bytes needed, 1,0\d\d,\d{3} free at .*/ckpt-00000020; "
        r"ckpt-00000010 is kept\.$"
    )
    for _ in range(2):
        with pytest.raises(DiskError, match=message):
            store.save(large, make_progress(NEW))
        assert snapshot(folder).keys() == before.keys()
    for name, (content, _) in before.items():
        assert snapshot(folder)[name][0] == content
    assert_same_arrays(store.latest().arrays, make_arrays(OLD))
    # Nothing holds on to the space: what does fit can be saved.
    store.save(make_arrays(NEW), make_progress(NEW))
    assert store.latest().progress.step == NEW


def test_no_room_for_the_folder_itself(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError, match=r"^cannot write .*/ckpt-00000001: Not a directory\.$"):
        Store(tmp_path / "file" / "checkpoints").save(make_arrays(1), make_progress(1))
