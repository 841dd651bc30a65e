"""Exact duplicates: all of them, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipelines.folders.listing import list_folder
from input_pipelines.inspect.duplicates import find_duplicates
from input_pipelines.inspect.example import Example
from input_pipelines.inspect.headers import scan_headers
from input_pipelines.source import ArraySource

_NAMES = ("a", "b", "c")


def arrays(kinds: list[int], labels: list[int]) -> ArraySource:
    """One image for each kind; images of a kind are equal."""
    images = np.zeros((len(kinds), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = kinds
    return ArraySource(images, np.array(labels, np.int32), _NAMES)


def folders(photos, copies: dict[str, str]):
    """The splits train (even places) and test (odd), after copying files."""
    for target, origin in copies.items():
        (photos / target).write_bytes((photos / origin).read_bytes())
    whole = list_folder(photos)
    places = np.arange(len(whole))
    return {"train": whole.take(places[::2]), "test": whole.take(places[1::2])}


def names(group, sources) -> list[str]:
    return [
        f"{sources[each.split].paths[each.index].parent.name}/"
        f"{sources[each.split].paths[each.index].name}"
        for each in group.examples
    ]


def test_different_files_are_none(photos):
    sources = folders(photos, {})
    assert find_duplicates(sources, scan_headers(sources)) == []


def test_within_across_and_with_different_labels(photos):
    sources = folders(photos, {"cat/2.png": "cat/0.png", "dog/3.png": "dog/0.png",
                               "dog/9.png": "cat/5.png"})  # fmt: skip
    found = find_duplicates(sources, scan_headers(sources))
    assert [(names(group, sources), group.across_splits, group.different_labels)
            for group in found] == [
        (["cat/5.png", "dog/9.png"], False, True),
        (["dog/0.png", "dog/3.png"], True, False),
        (["cat/0.png", "cat/2.png"], False, False),
    ]  # fmt: skip


def test_the_same_size_and_beginning_are_not_enough(photos):
    beginning = b"x" * 5000
    for number in range(4):
        (photos / "cat" / f"{number}.png").write_bytes(beginning + bytes([number // 2]))
    sources = {"train": list_folder(photos)}
    done = []
    found = find_duplicates(sources, scan_headers(sources), done.append)
    assert sum(done) == 20
    assert [group.examples for group in found] == [
        (Example("train", 0), Example("train", 1)),
        (Example("train", 2), Example("train", 3)),
    ]


def test_empty_files_are_no_duplicates(photos):
    for number in range(3):
        (photos / "cat" / f"{number}.png").write_bytes(b"")
    sources = {"train": list_folder(photos)}
    assert find_duplicates(sources, scan_headers(sources)) == []


_EXAMPLES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=12)


@settings(deadline=None)
@given(_EXAMPLES, _EXAMPLES)
def test_groups_are_those_of_comparing_all_with_all(train, test):
    sources = {"train": arrays(*map(list, zip(*train))), "test": arrays(*map(list, zip(*test)))}
    found = find_duplicates(sources, None)
    everything = [Example("train", n) for n in range(len(train))]
    everything += [Example("test", n) for n in range(len(test))]
    of = {"train": train, "test": test}
    pairs = {
        (one, other)
        for one, other in itertools.combinations(everything, 2)
        if of[one.split][one.index][0] == of[other.split][other.index][0]
    }
    assert pairs == {pair for group in found for pair in itertools.combinations(group.examples, 2)}
    for group in found:
        labels = {of[each.split][each.index][1] for each in group.examples}
        assert group.different_labels == (len(labels) > 1)
        assert group.across_splits == (len({each.split for each in group.examples}) > 1)
    assert found == sorted(found, key=lambda g: (not g.different_labels, not g.across_splits))


@pytest.mark.parametrize("folder", ["flower_photos", "flower_photos_original"])
def test_flowers(shared_data, folder):
    """The whole set has three pairs, one of them with two labels; all are split by the tutorial."""
    from input_pipelines.loading import load_sources

    sources = load_sources("flowers", data_dir=str(shared_data(folder))).sources
    found = find_duplicates(sources, scan_headers(sources))
    if folder == "flower_photos_original":  # 40 of each class, none of them twice.
        assert found == []
        return
    assert [set(names(group, sources)) for group in found] == [
        {"roses/15922772266_1167a06620.jpg", "tulips/15922772266_1167a06620.jpg"},
        {"sunflowers/15072973261_73e2912ef2_n.jpg", "sunflowers/15069459615_7e0fd61914_n.jpg"},
        {"sunflowers/15066430311_fb57fa92b0_m.jpg", "sunflowers/14889392928_9742aed45b_m.jpg"},
    ]
    assert [group.different_labels for group in found] == [True, False, False]
    assert all(group.across_splits for group in found)


def test_mnist_has_none(shared_data):
    from input_pipelines.loading import load_sources

    sources = load_sources("mnist", data_dir=str(shared_data("mnist"))).sources
    assert find_duplicates(sources, None) == []
