"""A mistake in a model's or a data set's own file: one line with the file, and status 2."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from flowrate.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
HEAD = """import keras
def build_model(num_classes, image_shape):
    images = keras.Input(image_shape, dtype="uint8")
    features = keras.layers.Flatten()(images)
"""
OWN_CLASS = """import keras
class Own(keras.Model):
    def call(self, images):
        return images
def build_model(num_classes, image_shape):
    return Own()
"""
# What build_model ends with, the line that is named, and what is said.
REFUSED = {
    "nothing": (HEAD, 2, "returns NoneType; it must return a keras.Model."),
    "a class of its own": (OWN_CLASS, 5, "returns Own, whose shapes are not known before it is"),
    "no input": (
        "import keras\ndef build_model(num_classes, image_shape):\n"
        "    return keras.Sequential([keras.layers.Dense(num_classes)])\n",
        2, "returns Sequential, whose shapes are not known",
    ),
    "other classes": (
        HEAD + "    return keras.Model(images, keras.layers.Dense(7)(features))\n",
        2, "a model of outputs (None, 7); it must give one logit for each of 5 classes: [None, 5].",
    ),
    "a map": (
        HEAD + "    return keras.Model(images, keras.layers.Conv2D(5, 1)(images))\n",
        2, "a model of outputs (None, 8, 8, 5);",
    ),
    "two outputs": (
        HEAD + "    logits = keras.layers.Dense(5)(features)\n"
        "    return keras.Model(images, [logits, logits])\n",
        2, "a model of outputs [(None, 5), (None, 5)];",
    ),
    "other images": (
        HEAD.replace("image_shape, dtype", "(9, 9, 1), dtype")
        + "    return keras.Model(images, keras.layers.Dense(5)(features))\n",
        2, "a model of inputs (None, 9, 9, 1); the images are [None, 8, 8, 1].",
    ),
    "an error": (
        HEAD + "    return keras.Model(images, keras.layers.Conv2D(5, 11)(images))\n",
        5, "ValueError: Computed output size would be zero or negative.",
    ),
    "an argument too few": (
        "def build_model(num_classes):\n    pass\n", None, "TypeError: build_model() takes 1",
    ),
}  # fmt: skip
PROBABILITIES = {
    "activation": "layers.Dense(5, activation='softmax', name='probs')(features)",
    "layer": "layers.Softmax(name='probs')(keras.layers.Dense(5)(features))",
    "sigmoid": "layers.Dense(5, activation='sigmoid', name='probs')(features)",
    "inside": "Sequential([keras.layers.Dense(5, 'softmax', name='probs')])(features)",
    "cast": "layers.Activation('linear', dtype='float32')"
    "(keras.layers.Dense(5, 'softmax', name='probs')(features))",
}


@pytest.fixture
def build(tf, tmp_path):
    """Returns a function: builds a model from the text of a file of the catalog."""
    import models
    from trainer.model.model import build_model

    def build(content: str):
        (tmp_path / "mine.py").write_text(content)
        importlib.invalidate_caches()
        return build_model("mine", 5, (8, 8, 1))

    models.__path__.append(str(tmp_path))
    yield build
    models.__path__.remove(str(tmp_path))
    sys.modules.pop("models.mine", None)


@pytest.mark.parametrize(("content", "line", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_model_that_training_cannot_take(build, tmp_path, content, line, words):
    with pytest.raises(ConfigError) as caught:
        build(content)
    message = str(caught.value)
    place = f"{tmp_path / 'mine.py'}:{line}" if line else str(tmp_path / "mine.py")
    assert message.startswith(f"--model=mine: {place}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("end", PROBABILITIES.values(), ids=PROBABILITIES.keys())
def test_probabilities_in_the_place_of_logits(build, end):
    with pytest.raises(ConfigError, match=r"last layer \(probs\) gives probabilities by s"):
        build(f"{HEAD}    return keras.Model(images, keras.{end})\n")


def test_what_ends_in_logits_is_taken(build):
    """Though there is a softmax within, and its class is another one."""
    gate = "features * keras.layers.Dense(64, 'softmax')(features)"
    model = build(
        f"{HEAD}    logits = keras.layers.Dense(num_classes)({gate})\n"
        "    own = type('Own', (keras.Model,), {})\n"
        "    return own(images, keras.layers.Activation('linear', dtype='float32')(logits))\n"
    )
    assert model.output_shape == (None, 5)


MISTAKES = {
    "model": ("models", "def build_model(num_classes, image_shape):\n    return unknown\n",
              "2: NameError: name 'unknown' is not defined."),
    "dataset": ("input_pipelines/datasets", "import no_such_package\n",
                "1: ModuleNotFoundError: No module named 'no_such_package'."),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_ends_the_command_with_one_line(trainer_main, tmp_path, kind):
    package, content, words = MISTAKES[kind]
    checkout = tmp_path / "checkout"
    for name in ("flowrate", "input_pipelines", "models", "trainer"):
        shutil.copytree(ROOT / name, checkout / name)
    (checkout / package / "mine.py").write_text(content)
    done = trainer_main(f"--{kind}=mine", "--run_dir=run", PYTHONPATH=str(checkout))
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"error: --{kind}=mine: {checkout / package / 'mine.py'}:{words[:-1]}. Correct the file; "
        f"CONTRIBUTING.md shows what a {kind} file holds.\n"
    )
    assert not (tmp_path / "run").exists()
