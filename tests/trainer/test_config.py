"""What TrainConfig refuses, in which words, and what it derives."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flowrate.errors import ConfigError
from flowrate.options import described_fields
from trainer.config import (
    CHANGEABLE_ON_RESUME,
    STRATEGIES,
    TrainConfig,
    check_divides,
    check_jit,
    check_mixes_pairs,
    check_profiled_steps,
)
from trainer.optimizers import OPTIMIZERS

FIELDS = described_fields(TrainConfig)
law = settings(deadline=None)

REFUSED = {
    "unknown data set": (
        {"dataset": "digit"},
        "--dataset=digit: no such dataset. Did you mean 'digits'? There are: ",
    ),
    "family of data sets without a name": (
        {"dataset": "tfds"},
        "--dataset=tfds: write --dataset=tfds:NAME.",
    ),
    "plain data set with a name": (
        {"dataset": "digits:small"},
        "--dataset=digits:small: digits takes no :NAME; use --dataset=digits.",
    ),
    "unknown model": (
        {"model": "resnet50"},
        "--model=resnet50: no such model. Did you mean 'resnet18'? There are: ",
    ),
    "family of models without a name": (
        {"model": "keras:"},
        "--model=keras:: write --model=keras:NAME.",
    ),
    "unknown strategy": (
        {"strategy": "mirrord"},
        "--strategy=mirrord: choose from one_device, mirrored, multi_worker_mirrored, tpu. "
        "Did you mean 'mirrored'?",
    ),
    "epochs and steps": (
        {"epochs": 3, "steps": 40},
        "--epochs=3 and --steps=40 both say how long to train; give one of them.",
    ),
    "weight decay for adam": (
        {"optimizer": "adam", "weight_decay": 0.05},
        "--weight_decay=0.05 is not for --optimizer=adam; use adamw.",
    ),
    "devices that nothing uses": (
        {"virtual_devices": 2},
        "--virtual_devices=2 makes no difference to --strategy=one_device; "
        "use --strategy=mirrored.",
    ),
    "batch that does not divide": (
        {"strategy": "mirrored", "virtual_devices": 4, "global_batch_size": 10},
        "--global_batch_size=10 does not divide among 4 replicas; use 8 or 12.",
    ),
    "batch smaller than the replicas": (
        {"strategy": "mirrored", "virtual_devices": 4, "global_batch_size": 3},
        "--global_batch_size=3 does not divide among 4 replicas; use 4.",
    ),
    "batch that does not divide into parts": (
        {"global_batch_size": 100, "gradient_accumulation": 8},
        "--global_batch_size=100 does not divide into --gradient_accumulation=8 parts; "
        "use 96 or 104.",
    ),
    "batch that does not divide into parts of each replica": (
        {"strategy": "mirrored", "virtual_devices": 2, "global_batch_size": 36,
         "gradient_accumulation": 4},
        "--global_batch_size=36 does not divide among 2 replicas into --gradient_accumulation=4 "
        "parts; use 32 or 40.",
    ),
    "small classes counted twice": (
        {"balance": True, "class_weights": "balanced"},
        "--balance and --class_weights=balanced: small classes would count twice over; "
        "give one of them.",
    ),
    "XLA over replicas": (
        {"strategy": "mirrored", "virtual_devices": 2, "jit": "on"},
        "--jit=on: XLA cannot compile a loop over 2 replicas "
        "(their collectives lie inside it); use --jit=auto.",
    ),
    "unknown augmentation": (
        {"augmentation": "flip,rotate"},
        "--augmentation=flip,rotate: no augmentation 'rotate'. Did you mean 'rotation'? "
        "Give none, preset, or a comma list of ",
    ),
    "augmentation given twice": (
        {"augmentation": "flip,zoom,flip"},
        "--augmentation=flip,zoom,flip: a name stands twice.",
    ),
    "optimizer": (
        {"optimizer": "adamv"},
        "--optimizer=adamv: choose from adam, adamw, lamb, muon, sgd. Did you mean 'adam",
    ),
    "a number as text": ({"learning_rate": "0.1"}, "--learning_rate=0.1: expected a number."),
    "a fraction of a step": ({"steps": 1.5}, "--steps=1.5: expected a whole number."),
    "true for a number": ({"epochs": True}, "--epochs=True: expected a whole number."),
    "text for a switch": ({"deterministic": "no"}, "--deterministic=no: expected true or false."),
    "no learning rate": ({"learning_rate": None}, "--learning_rate=None: expected a number."),
    "not a number": (
        {"learning_rate": float("nan")},
        "--learning_rate=nan: must be a finite number.",
    ),
    "infinite": ({"weight_decay": float("inf")}, "--weight_decay=inf: must be a finite number."),
}  # fmt: skip


@pytest.mark.parametrize(("flags", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(flags, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        TrainConfig(**flags)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_strategy_and_optimizer_is_accepted(strategy, optimizer):
    config = TrainConfig(strategy=strategy, optimizer=optimizer, run_dir="run")
    assert (config.strategy, config.optimizer) == (strategy, optimizer)


BOUNDED = [(f.name, o, kind) for f, o, kind in FIELDS if kind in (int, float)]


@pytest.mark.parametrize(("name", "option", "kind"), BOUNDED, ids=[row[0] for row in BOUNDED])
def test_every_number_has_bounds_and_keeps_them(name, option, kind):
    assert option.lower_bound is not None
    outside = [option.lower_bound - 1]
    if option.upper_bound is not None:
        outside.append(option.upper_bound + 1)
    for value in outside:
        with pytest.raises(ConfigError, match=rf"^--{name}=\S+: must be (at least|between) "):
            TrainConfig(**{name: kind(value)})


CHOICES = [(f.name, o) for f, o, _ in FIELDS if o.list_choices()]


@pytest.mark.parametrize(("name", "option"), CHOICES, ids=[row[0] for row in CHOICES])
def test_every_choice_lists_what_there_is(name, option):
    message = f"--{name}=nonsense: choose from {', '.join(option.list_choices())}."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        TrainConfig(**{name: "nonsense"})


def test_every_field_is_an_option_with_help():
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    assert [field.name for field, _, _ in FIELDS] == names
    assert all(option.help.endswith(".") and option.group for _, option, _ in FIELDS)


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'steps'"):
        TrainConfig().steps = 3


def test_json_gives_the_same_config_back():
    config = TrainConfig(
        dataset="tfds:cifar100", model="keras:MobileNet", steps=7, learning_rate=0.1 + 0.2,
        augmentation="flip,mixup", deterministic=True, profile_steps="2,4", data_dir="/data",
    )  # fmt: skip
    text = json.dumps(config.to_json(), allow_nan=False)
    assert TrainConfig(**json.loads(text)) == config
    assert config.to_json().keys() == {field.name for field in dataclasses.fields(TrainConfig)}


def test_flags_that_may_change_are_flags():
    assert {field.name for field in dataclasses.fields(TrainConfig)} > CHANGEABLE_ON_RESUME


@law
@given(st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=1, unique=True))
def test_rising_milestones_are_read_as_they_stand(shares):
    shares = sorted(shares)
    text = ",".join(map(repr, shares))
    config = TrainConfig(schedule="piecewise", schedule_milestones=text)
    assert config.milestones() == tuple(shares)


@pytest.mark.parametrize(
    "text", ["", "half", "0.5,", "0.5,0.5", "0.7,0.5", "0,0.5", "0.5,1", "-0.1", "nan", "0.5;0.75"]
)
def test_other_milestones_are_refused(text):
    message = f"--schedule_milestones={text}: give rising shares between 0 and 1, as in 0.5,0.75."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        TrainConfig(schedule="piecewise", schedule_milestones=text)


def test_milestones_count_only_for_piecewise():
    assert TrainConfig(schedule="cosine", schedule_milestones="never").schedule == "cosine"


@pytest.mark.parametrize(("text", "steps"), [(None, None), ("20,30", (20, 30)), ("5,5", (5, 5))])
def test_profiled_steps(text, steps):
    assert TrainConfig(profile_steps=text).profiled_steps() == steps


@pytest.mark.parametrize(
    "text", ["", "20", "20,", ",30", "30,20", "0,5", "a,b", "1,2,3", "-1,5", "1.5,3", "1 2"]
)
def test_other_profile_steps_are_refused(text):
    message = f"--profile_steps={text}: give two steps, as in 20,30."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        TrainConfig(profile_steps=text)


def test_a_profile_lies_within_the_run():
    config = TrainConfig(profile_steps="20,30")
    check_profiled_steps(config, 30)
    check_profiled_steps(TrainConfig(), 1)
    message = "--profile_steps=20,30: the run ends with step 29; give steps within it."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_profiled_steps(config, 29)


@law
@given(st.integers(1, 10_000), st.integers(1, 64))
def test_a_batch_that_divides_is_accepted(per_replica, num_replicas):
    check_divides(TrainConfig(global_batch_size=per_replica * num_replicas), num_replicas)


@law
@given(st.integers(1, 10_000), st.integers(2, 64))
def test_a_batch_that_does_not_divide_names_the_nearest_good_sizes(batch, num_replicas):
    assume(batch % num_replicas)
    with pytest.raises(ConfigError, match=r"does not divide among \d+ replicas; use ") as caught:
        check_divides(TrainConfig(global_batch_size=batch), num_replicas)
    sizes = [int(text) for text in re.findall(r"\d+", str(caught.value).split("use ")[1])]
    # All sizes that divide, nearest first; two of them unless there is none below.
    good = [size for size in range(1, batch + num_replicas) if size % num_replicas == 0]
    assert sizes == good[-2:]
    assert min(sizes) < batch or batch < num_replicas


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_pairs_need_an_even_batch_on_each_replica(name):
    check_mixes_pairs((name,), 8)
    check_mixes_pairs(("flip", "zoom"), 7)
    message = (
        f"--augmentation={name} blends pairs, but each replica has 7 examples per step; "
        "use an even number."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_mixes_pairs(("flip", name), 7)


def test_xla_is_refused_only_where_it_is_demanded():
    check_jit(TrainConfig(jit="on"), 1)
    check_jit(TrainConfig(jit="auto"), 4)
    check_jit(TrainConfig(jit="off"), 4)
    with pytest.raises(ConfigError, match="XLA cannot compile a loop over 4 replicas"):
        check_jit(TrainConfig(jit="on"), 4)
