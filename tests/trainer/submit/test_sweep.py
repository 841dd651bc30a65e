"""Sweeps: every combination once, in order; what cannot be read is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.errors import ConfigError
from trainer.submit.sweep import combinations, folder_name

FLAGS = ["learning_rate", "seed", "model", "run_dir", "optimizer"]


def test_combinations():
    assert combinations(["learning_rate=0.1,0.01", "seed=1..3"], FLAGS) == [
        {"learning_rate": rate, "seed": seed} for rate in ("0.1", "0.01") for seed in "123"
    ]
    assert combinations([], FLAGS) == [{}]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_each_combination_is_there_once(sizes):
    names = FLAGS[:3]
    found = combinations([f"{name}=1..{size}" for name, size in zip(names, sizes)], FLAGS)
    assert len(found) == math.prod(sizes)
    assert len({tuple(each.items()) for each in found}) == len(found)
    folders = [folder_name(number, each) for number, each in enumerate(found)]
    assert folders == sorted(folders)
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize(
    ("sweeps", "message"),
    [
        (["learning_rate"], "give flag=value,value"),
        (["learning_rate="], "give flag=value,value"),
        (["learning_rat=1"], "Did you mean 'learning_rate'?"),
        (["seed=5..1"], "the last must be"),
        (["seed=1..100000"], "the last must be"),
        (["seed=1,,2"], "an empty value"),
        (["seed=1,1"], "one given twice"),
        (["seed=1", "seed=2"], "give all its values at once"),
        (["run_dir=a,b"], "a folder of its own"),
        (["seed=1..100", "learning_rate=" + ",".join(map(str, range(1, 12)))], "1100 runs"),
    ],
)
def test_refused(sweeps, message):
    with pytest.raises(ConfigError) as caught:
        combinations(sweeps, FLAGS)
    assert message in str(caught.value)


@given(st.dictionaries(st.sampled_from(FLAGS), st.text(min_size=1), min_size=1))
def test_a_folder_name_is_harmless(combination):
    name = folder_name(7, combination)
    assert name.startswith("007-")
    assert not set(name) & set("/\\\0\n '\"$`;&|<>*?")
    assert len(name) <= 100
