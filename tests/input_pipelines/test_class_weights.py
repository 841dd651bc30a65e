"""What examples of a class count for in the loss: the weights, their file, and one step of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.errors import ConfigError, RunDirError
from flowrate.records import read_json
from input_pipelines.class_weights import class_weights
from input_pipelines.source import ArraySource

DIGITS = {str(digit): 0.25 + digit for digit in range(10)}


def source(labels, class_names=("cat", "dog", "fox")) -> ArraySource:
    labels = np.asarray(labels, np.int32)
    return ArraySource(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, class_names)


@pytest.fixture
def file(tmp_path):
    """Returns a function: writes a JSON value, or text, and returns the name of the file."""

    def write(value, name="weights.json") -> str:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def test_none_weighs_nothing():
    assert class_weights("none", source([0, 1, 2])) is None


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200))
def test_balanced_has_a_mean_of_one_and_classes_of_one_sum(labels):
    weights = np.array(class_weights("balanced", source(labels)))
    assert np.mean(weights[labels]) == pytest.approx(1)
    sums = np.bincount(labels, weights[labels])
    assert sums[sums > 0] == pytest.approx(len(labels) / len(np.unique(labels)))


def test_a_file_gives_each_class_its_weight(file):
    name = file({"fox": 4, "cat": 0.5, "dog": 1})
    assert class_weights(name, source([0, 1, 2])) == (0.5, 1.0, 4.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cat": 1, "dog": 2}, "no weight for 'fox'; give one for each class."),
        ({"cat": 1, "dog": 2, "fox": 1, "fxo": 2},
         "the data set has no class 'fxo'. Did you mean 'fox'?"),
        *(
            (f'{{"cat": 1, "dog": {value}, "fox": 1}}',
             f"{shown} for 'dog' is no weight; give a positive finite number.")
            for value, shown in (
                ("0", "0"), ("-1", "-1"), ("NaN", "nan"), ("1e999", "inf"), ("true", "True"),
                ('"2"', "2"), ("null", "None"), ("1e-60", "1e-60"),
                (f"1{60 * '0'}", f"1{39 * '0'}"),
            )
        ),
        ([1, 2, 3], "is no JSON object; give none, balanced or a JSON file, as in "
         '{"cat": 2, "dog": 0.5}.'),
        ("{", "is no JSON; give none, balanced or a JSON file"),
    ],
)  # fmt: skip
def test_other_files_are_refused(file, given, message):
    name = file(given)
    with pytest.raises(ConfigError, match=rf"^--class_weights={re.escape(f'{name}: {message}')}"):
        class_weights(name, source([0, 1, 2]))


def test_a_word_that_is_neither_is_taken_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"=balance: cannot be read: No such .* 'balanced'\?$"):
        class_weights("balance", source([0, 1]))


@pytest.mark.parametrize("num_replicas", [1, 2])
@pytest.mark.parametrize("augmentation", ["none", "mixup,cutmix"])
def test_the_loss_of_a_step_is_the_weighted_sum_over_the_batch(
    tf, train, file, num_replicas, augmentation
):
    """sum(w * loss) / batch; w of the target as it was mixed, before it is smoothed."""
    run = train(
        model="mlp16", steps=1, log_every_steps=1, optimizer="sgd", learning_rate=0.0,
        label_smoothing=0.2, augmentation=augmentation, class_weights=file(DIGITS), jit="off",
        **({"strategy": "mirrored", "virtual_devices": 2} if num_replicas == 2 else {}),
    )  # fmt: skip
    batches = run.engine.batches
    batches.start_from(0)
    batches.wait()
    expected = 0.0
    for part in range(num_replicas):
        inputs = {
            name: run.state.strategy.experimental_local_results(value)[part]
            for name, value in batches.inputs().items()
        }
        images, _, targets = (each.numpy() for each in batches.batch(inputs, tf.constant(0)))
        logs = tf.nn.log_softmax(run.state.model(images, training=False)).numpy()
        losses = -np.sum((targets * 0.8 + 0.02) * logs, axis=1)
        expected += np.sum(targets @ np.array(list(DIGITS.values())) * losses) / 32
    assert run.last_loss == pytest.approx(expected, rel=1e-5)


def test_an_evaluation_weighs_all_examples_alike(tf, train, file):
    weights = dict.fromkeys(DIGITS, 1e-3) | {"3": 1.0}
    run = train(model="mlp16", steps=20, class_weights=file(weights))
    test = run.sources["test"]
    logits = run.state.model(test.images, training=False)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(test.labels, logits)
    found = run.state.progress.evaluation
    assert found["loss"] == pytest.approx(float(tf.reduce_mean(loss)), rel=1e-4)
    assert np.mean(np.argmax(logits, axis=1) == 3) > 0.5  # All but that of a 3 counts for nothing.


def test_weights_of_one_are_none(train, file):
    ones = file(dict.fromkeys(DIGITS, 1))
    runs = [train(model="mlp16", steps=8, class_weights=asked) for asked in (ones, "none")]
    assert runs[0].last_loss == pytest.approx(runs[1].last_loss, rel=1e-5)


def test_a_run_goes_on_with_the_same_weights_only(train, file, tmp_path):
    flags = {"model": "mlp16", "steps": 4, "run_dir": str(tmp_path / "run")}
    name = file(DIGITS)
    train(**flags, class_weights=name)
    assert read_json(tmp_path / "run" / "plan.json")["data"]["class_weights"] == DIGITS
    train(**flags, class_weights=name)
    file(DIGITS | {"7": 9})
    with pytest.raises(RunDirError, match=r"differs .*class_weights: .*'7': 7.25.*'7': 9.0"):
        train(**flags, class_weights=name)


def test_balanced_weights_follow_accepted_changes(train, image_folder, tmp_path):
    folder = image_folder(classes=("cat", "dog"), per_class=20)
    flags = {
        "dataset": "image_folder", "data_dir": str(folder), "image_size": 8, "model": "mlp16",
        "steps": 4, "global_batch_size": 8, "class_weights": "balanced",
        "run_dir": str(tmp_path / "run"),
    }  # fmt: skip
    train(**flags)
    for path in sorted((folder / "cat").iterdir())[:9]:
        path.unlink()
    train(**flags, accept_data_change=True)
    weights = read_json(tmp_path / "run" / "plan.json")["data"]["class_weights"]
    assert weights["cat"] > 1 > weights["dog"]


def test_a_trained_run_needs_the_file_no_more(tf, train, file, tmp_path):
    from trainer.evaluate import EvaluateConfig, evaluate
    from trainer.trained.run import TrainedRun

    name = file(DIGITS)
    run = train(model="mlp16", steps=40, class_weights=name)
    (tmp_path / "weights.json").unlink()
    found = evaluate(TrainedRun.open(run.run_dir.path), EvaluateConfig())
    assert found["accuracy"] == pytest.approx(run.state.progress.evaluation["accuracy"])
