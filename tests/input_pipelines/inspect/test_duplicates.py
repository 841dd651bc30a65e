"""Exact duplicates: all of them, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipelines.folders.listing import list_folder
from input_pipelines.images.manifest import read_manifest
from input_pipelines.inspect.duplicates import find_duplicates
from input_pipelines.inspect.example import Naming
from input_pipelines.source import ArraySource


def arrays(kinds: list[int], labels: list[int]) -> ArraySource:
    """One image for each kind; images of a kind are equal."""
    images = np.zeros((len(kinds), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = kinds
    return ArraySource(images, np.array(labels, np.int32), ("a", "b", "c"))


def in_folder(photos, changes: dict[str, bytes]) -> list[tuple[list[str], bool, bool]]:
    """Finds them in the splits train (even places) and test (odd), after changing files."""
    for name, content in changes.items():
        (photos / name).write_bytes(content)
    whole = list_folder(photos)
    places = np.arange(len(whole))
    sources = {"train": whole.take(places[::2]), "test": whole.take(places[1::2])}
    found = find_duplicates(sources, read_manifest(whole.paths), Naming(sources))
    assert found["groups"] == len(found["listed"])
    return [
        ([each["path"].removeprefix(f"{photos}/") for each in group["examples"]],
         group["across_splits"], group["different_labels"])
        for group in found["listed"]
    ]  # fmt: skip


def test_within_across_and_with_different_labels(photos):
    cat, dog, other = (
        (photos / name).read_bytes() for name in ("cat/0.png", "dog/0.png", "cat/5.png")
    )
    assert in_folder(photos, {"cat/2.png": cat, "dog/3.png": dog, "dog/9.png": other}) == [
        (["cat/5.png", "dog/9.png"], False, True),
        (["dog/0.png", "dog/3.png"], True, False),
        (["cat/0.png", "cat/2.png"], False, False),
    ]


def test_only_equal_bytes_count_and_empty_files_do_not(photos):
    beginning = b"x" * 5000
    changes = {f"cat/{number}.png": beginning + bytes([number // 2]) for number in (0, 1, 2)}
    changes |= {f"dog/{number}.png": b"" for number in range(3)}
    assert in_folder(photos, changes) == [(["cat/0.png", "cat/1.png"], True, False)]


_EXAMPLES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=12)


@settings(deadline=None)
@given(_EXAMPLES, _EXAMPLES)
def test_groups_are_those_of_comparing_all_with_all(train, test):
    sources = {"train": arrays(*map(list, zip(*train))), "test": arrays(*map(list, zip(*test)))}
    found = find_duplicates(sources, None, Naming(sources))
    of = {"train": train, "test": test}
    everything = [(split, n) for split, examples in of.items() for n in range(len(examples))]
    pairs = {
        (one, other)
        for one, other in itertools.combinations(everything, 2)
        if of[one[0]][one[1]][0] == of[other[0]][other[1]][0]
    }
    groups = [[(e["split"], e["index"]) for e in group["examples"]] for group in found["listed"]]
    assert pairs == {pair for group in groups for pair in itertools.combinations(group, 2)}
    assert found["surplus_examples"] == sum(len(group) - 1 for group in groups)
    for group, described in zip(groups, found["listed"]):
        labels = {of[split][index][1] for split, index in group}
        assert described["different_labels"] == (len(labels) > 1)
        assert described["across_splits"] == (len({split for split, _ in group}) > 1)
    order = [(not each["different_labels"], not each["across_splits"]) for each in found["listed"]]
    assert order == sorted(order)
