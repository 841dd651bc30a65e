"""Blocks: the same examples and draws however a run is cut; each evaluated example once."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.source import ArraySource, FileSource

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (3, 2, 1)
SEED = 11


@pytest.fixture(scope="module")
def blocks(tf):
    from input_pipelines import blocks as _blocks

    return _blocks


@pytest.fixture(scope="module")
def expected_ids(tf):
    """Returns a function: first and last position, number of examples -> the ids by the order."""
    from input_pipelines.order import example_indices

    def ids(first: int, last: int, num_examples: int) -> np.ndarray:
        return example_indices(first, last, num_examples, SEED)

    return ids


def arrays(num_examples: int) -> ArraySource:
    """Every pixel of an image is the image's index; labels go round."""
    images = np.empty((num_examples, *SHAPE), np.uint8)
    images[:] = np.arange(num_examples).reshape(-1, 1, 1, 1)
    return ArraySource(images, np.arange(num_examples, dtype=np.int32) % 3, ("a", "b", "c"))


@pytest.fixture(scope="module")
def files(tf, tmp_path_factory):
    """Returns a function that writes the images of `arrays` as PNG files."""

    def write(num_examples: int) -> FileSource:
        folder = tmp_path_factory.mktemp("images")
        source = arrays(num_examples)
        paths = tuple(folder / f"{number}.png" for number in range(num_examples))
        for path, image in zip(paths, source.images):
            path.write_bytes(tf.io.encode_png(image).numpy())
        return FileSource(paths, source.labels, source.class_names)

    return write


@pytest.fixture
def train_on(blocks):
    """Returns a function: a source and a cut -> arrays [steps, rows, ...] of first to last step."""

    def read(source, *, first_step=0, last_step, batch=8, steps_per_block=1, seed=SEED, draws=0):
        found = list(
            blocks.training_blocks(
                source, SHAPE, seed=seed, first_step=first_step, last_step=last_step,
                global_batch_size=batch, steps_per_block=steps_per_block, num_draws=draws,
            )
        )  # fmt: skip
        num_steps = last_step - first_step
        assert len(found) == math.ceil(num_steps / steps_per_block)
        for block in found:  # the compiled step meets one shape only
            assert block["images"].shape == (steps_per_block, batch, *SHAPE)
            assert block["labels"].shape == (steps_per_block, batch)
            assert ("draws" in block) == bool(draws)
        return {
            name: np.concatenate([block[name].numpy() for block in found])[:num_steps]
            for name in found[0]
        }

    return read


def check_ids(found: dict[str, np.ndarray], ids: np.ndarray) -> None:
    """Images and labels are those of these examples, in this order."""
    images = found["images"].reshape(-1, *SHAPE)
    assert images.dtype == np.uint8
    assert found["labels"].dtype == np.int32
    np.testing.assert_array_equal(images, arrays(250).images[ids])
    np.testing.assert_array_equal(found["labels"].ravel(), ids % 3)


@pytest.mark.parametrize("steps_per_block", [1, 3, 7, 20, 50])
@pytest.mark.parametrize("first_step", [0, 1, 13])
def test_the_same_examples_whatever_the_cut(train_on, expected_ids, first_step, steps_per_block):
    found = train_on(
        arrays(37), first_step=first_step, last_step=20, steps_per_block=steps_per_block
    )
    check_ids(found, expected_ids(8 * first_step, 8 * 20, 37))


def test_the_same_examples_whatever_the_batch(train_on, expected_ids):
    for batch in (1, 5, 37, 60):
        found = train_on(arrays(37), last_step=300 // batch, batch=batch, steps_per_block=2)
        check_ids(found, expected_ids(0, 300 // batch * batch, 37))


@pytest.mark.parametrize("num_examples", [1, 2, 10, 37])
def test_batches_that_straddle_epochs_drop_and_repeat_none(train_on, num_examples):
    num_epochs = 24
    found = train_on(arrays(200).take(np.arange(num_examples)) if num_examples > 2
                     else arrays(num_examples),
                     last_step=num_examples * num_epochs // 8, steps_per_block=4)  # fmt: skip
    ids = found["images"][..., 0, 0, 0].reshape(-1)
    for epoch in range(len(ids) // num_examples):
        seen = ids[epoch * num_examples : (epoch + 1) * num_examples]
        np.testing.assert_array_equal(np.sort(seen), np.arange(num_examples))
    assert len(ids) == num_examples * num_epochs


@pytest.mark.parametrize(("first_step", "steps_per_block"), [(0, 3), (5, 4)])
@pytest.mark.parametrize("pipeline", [2**18, 40])
def test_files_and_arrays_give_the_same(
    blocks, train_on, files, monkeypatch, first_step, steps_per_block, pipeline
):
    monkeypatch.setattr(blocks, "_PIPELINE_EXAMPLES", pipeline)
    cut = {"first_step": first_step, "last_step": 12, "steps_per_block": steps_per_block}
    from_arrays = train_on(arrays(25), **cut, draws=2)
    from_files = train_on(files(25), **cut, draws=2)
    for name, values in from_arrays.items():
        np.testing.assert_array_equal(from_files[name], values)


@pytest.mark.parametrize("from_files", [False, True])
@pytest.mark.parametrize("count", [2, 4])
def test_the_shares_of_all_workers_are_the_whole_batch(blocks, files, count, from_files):
    source = files(25) if from_files else arrays(25)

    def train(share):
        return list(
            blocks.training_blocks(
                source, SHAPE, seed=SEED, first_step=3, last_step=12, global_batch_size=8,
                steps_per_block=4, num_draws=2, share=share,
            )
        )  # fmt: skip

    def evaluate(share):
        return list(
            blocks.evaluation_blocks(
                source, SHAPE, global_batch_size=8, steps_per_block=2, share=share
            )
        )

    for read in (train, evaluate):
        whole = read(blocks.Share())
        parts = [read(blocks.Share(index, count)) for index in range(count)]
        for number, block in enumerate(whole):
            for name, values in block.items():
                found = [part[number][name] for part in parts]
                assert {each.shape[1] for each in found} == {8 // count}
                np.testing.assert_array_equal(np.concatenate(found, axis=1), values)


def test_a_memory_map_is_read_like_an_array(train_on, tmp_path, expected_ids):
    source = arrays(37)
    np.save(tmp_path / "images.npy", source.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = train_on(ArraySource(mapped, source.labels, source.class_names), last_step=9)
    check_ids(found, expected_ids(0, 72, 37))


def test_another_seed_gives_another_order_and_other_draws(train_on):
    first, other = (train_on(arrays(200), last_step=20, seed=s, draws=1) for s in (1, 2))
    assert np.mean(first["images"] == other["images"]) < 0.1
    assert np.mean(first["draws"] == other["draws"]) < 0.01


@pytest.mark.parametrize("first_step", [0, 6])
@pytest.mark.parametrize("steps_per_block", [1, 4, 9])
def test_draws_are_the_same_whatever_the_cut(train_on, first_step, steps_per_block):
    whole = train_on(arrays(37), last_step=12, steps_per_block=12, draws=3)["draws"]
    part = train_on(
        arrays(37), first_step=first_step, last_step=12, steps_per_block=steps_per_block, draws=3
    )["draws"]
    np.testing.assert_array_equal(part, whole[first_step:])


def test_draws_are_uniform_and_never_the_same(train_on):
    draws = train_on(arrays(37), last_step=100, batch=16, steps_per_block=25, draws=5)["draws"]
    assert draws.shape == (100, 16, 5)
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    assert len(np.unique(draws.reshape(-1, 5), axis=0)) == 1600
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert counts.min() > 700  # 800 expected
    assert counts.max() < 900


def test_the_draws_are_those_that_earlier_runs_had(train_on):
    """Pinned: other draws after an update would change a run that goes on."""
    draws = train_on(arrays(9), first_step=5, last_step=6, batch=2, draws=2)["draws"]
    np.testing.assert_allclose(draws, [[[0.13971484, 0.7398216], [0.8429849, 0.87605023]]])


@pytest.mark.parametrize("steps_per_block", [1, 2, 3])
@pytest.mark.parametrize("num_examples", [1, 3, 4, 5, 7, 8, 9, 12, 13, 23, 24, 25])
def test_each_example_is_evaluated_once(blocks, num_examples, steps_per_block):
    source = arrays(num_examples)
    found = list(
        blocks.evaluation_blocks(
            source, SHAPE, global_batch_size=4, steps_per_block=steps_per_block
        )
    )
    for block in found:
        assert block["images"].shape == (steps_per_block, 4, *SHAPE)
        assert block["labels"].shape == block["weights"].shape == (steps_per_block, 4)
    assert len(found) == math.ceil(num_examples / (4 * steps_per_block))
    ids = np.concatenate([block["images"].numpy()[..., 0, 0, 0].ravel() for block in found])
    labels = np.concatenate([block["labels"].numpy().ravel() for block in found])
    weights = np.concatenate([block["weights"].numpy().ravel() for block in found])
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, (np.arange(len(ids)) < num_examples).astype(float))
    np.testing.assert_array_equal(ids[:num_examples], np.arange(num_examples))
    assert np.all(ids[num_examples:] == num_examples - 1)  # padding is a real image
    np.testing.assert_array_equal(labels, source.labels[ids])


@pytest.fixture
def broken(files, expected_ids):
    """Twenty files; the ones at positions 12 and 13 of the order are a page and empty."""
    source = files(20)
    page, empty = (source.paths[index] for index in expected_ids(12, 14, 20))
    page.write_bytes(b"<html>")
    empty.write_bytes(b"")
    return source, page, empty


def check_names(error: DataError, page: Path, empty: Path) -> None:
    message = str(error)
    assert message.startswith("2 images cannot be used: ")
    assert f"{page}: is an HTML page" in message
    assert f"{empty}: is empty" in message
    assert message.endswith(". Repair or remove, and start again.")


def test_an_undecodable_file_stops_where_it_stands_in_the_order(blocks, broken):
    source, page, empty = broken
    steps = {"first_step": 0, "last_step": 5, "global_batch_size": 4, "steps_per_block": 1}
    iterator = blocks.training_blocks(source, SHAPE, seed=SEED, **steps)
    for _ in range(3):
        assert next(iterator)["images"].shape == (1, 4, *SHAPE)
    with pytest.raises(DataError) as caught:
        next(iterator)
    check_names(caught.value, page, empty)


def test_an_undecodable_file_stops_an_evaluation(blocks, broken):
    source, page, empty = broken
    with pytest.raises(DataError) as caught:
        list(blocks.evaluation_blocks(source, SHAPE, global_batch_size=4, steps_per_block=5))
    check_names(caught.value, page, empty)


def test_a_file_that_vanished_is_named(blocks, files):
    source = files(5)
    source.paths[2].unlink()
    with pytest.raises(DataError) as caught:
        list(blocks.evaluation_blocks(source, SHAPE, global_batch_size=4, steps_per_block=1))
    assert str(caught.value) == (
        f"1 image cannot be used: {source.paths[2]}: is not there. "
        "Repair or remove, and start again."
    )


@pytest.mark.slow
def test_a_pipeline_left_unfinished_lets_its_process_end(tmp_path):
    """Dropping an iterator of tf.data whose thread waits for Python's lock would hang for ever."""
    code = """
import numpy as np
from input_pipelines.blocks import training_blocks
from input_pipelines.source import ArraySource

source = ArraySource(
    np.zeros((3000, 100, 100, 3), np.uint8), np.zeros(3000, np.int32), ("a", "b")
)
for _ in range(20):
    blocks = training_blocks(
        source, (100, 100, 3), seed=0, first_step=0, last_step=1000, global_batch_size=32,
        steps_per_block=20,
    )
    next(blocks)
    del blocks
blocks = training_blocks(
    source, (100, 100, 3), seed=0, first_step=0, last_step=1000, global_batch_size=32,
    steps_per_block=20,
)
next(blocks)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
