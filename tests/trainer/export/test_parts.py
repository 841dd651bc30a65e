"""Parts of an export by themselves: calibration, parity, labels, folders, failing layers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flowrate.errors import ConfigError, ExportError
from trainer.export.folder import check_output, put_in_place, size_bytes, temporary_folder
from trainer.export.interface import Labels, class_names_of
from trainer.export.parity import Parity
from trainer.export.run import choose_examples
from trainer.export.verify import ExportedModel


def test_calibration_takes_as_many_of_each_class_as_can_be():
    labels = np.array([0] * 100 + [1] * 50 + [2] * 3, np.int32)
    chosen = choose_examples(labels, 43, seed=0)
    assert len(set(chosen)) == 43
    assert np.bincount(labels[chosen]).tolist() == [20, 20, 3]
    assert (choose_examples(labels, 43, seed=0) == chosen).all()
    assert set(choose_examples(labels, 43, seed=1)) != set(chosen)


def test_calibration_takes_all_where_there_are_fewer():
    labels = np.array([1, 0, 1], np.int32)
    assert sorted(choose_examples(labels, 10, seed=0)) == [0, 1, 2]


def test_parity_counts_each_example():
    parity = Parity()
    trained = np.array([[2, 0], [0, 1], [3, 1]], np.float32)
    exported = np.array([[2, 0.5], [2, 1], [3, 1]], np.float32)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]], np.float32)
    for rows in (slice(0, 2), slice(2, 3)):
        labels = np.array([0, 1, 1], np.int32)[rows]
        parity.add(labels, trained[rows], (exported[rows], probabilities[rows]))
    found = parity.to_json()
    assert found["examples"] == 3
    assert found["accuracy_before"] == pytest.approx(2 / 3)
    assert found["accuracy_after"] == pytest.approx(1 / 3)
    assert found["changed_answers"] == 1
    assert found["max_logit_difference"] == 2
    assert found["max_probability_difference"] == pytest.approx(0.8 - 1 / (1 + np.exp(-1)), abs=0.1)
    # Exactly a third: rounding decides nothing.
    assert parity.is_within(1 / 3)
    assert not parity.is_within(0.33)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.array([[np.nan, 1]], np.float32), "not finite"),
        (np.array([[0, 1, 2]], np.float32), r"float32 \[1, 3\], not float32 \[1, 2\]"),
        (np.array([[0, 1]], np.float64), "float64"),
    ],
)
def test_answers_that_are_none(logits, message):
    fine = np.array([[0, 1]], np.float32)
    with pytest.raises(ExportError, match=message):
        Parity().add(np.array([1], np.int32), fine, (logits, fine))


def test_labels_keep_odd_names():
    names = ("two\nlines", "späti", "not utf-8 \udcff", 'quoted "')
    labels = Labels(names, (8, 8, 1), "mlp")
    assert class_names_of(labels.metadata()) == names
    assert labels.lines().splitlines()[:2] == ["two lines", "späti"]
    assert len(labels.lines().splitlines()) == 4
    assert json.loads(labels.metadata())["input"]["shape"] == [None, 8, 8, 1]


def test_a_folder_is_whole_or_not_there(tmp_path):
    path = tmp_path / "deep" / "out"
    with temporary_folder(path) as folder:
        (folder / "part").write_text("half")
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with temporary_folder(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "part").write_text(text)
            put_in_place(folder, path)
        assert (path / "sub" / "part").read_text() == text
        assert [entry.name for entry in path.parent.iterdir()] == ["out"]
    assert size_bytes(path) == 3


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_the_layer_that_a_converter_cannot_take_is_named(tf, tmp_path, format):
    pytest.importorskip("tf2onnx", reason="pip install -e .[export]")
    import keras

    from trainer.export.config import ExportConfig
    from trainer.export.conversion import convert

    class Odd(keras.layers.Layer):
        def call(self, features):
            # Operations that the one or the other does not know.
            if format == "onnx":
                return tf.math.lgamma(features)
            return features * tf.linalg.det(features[:, None, None, :1])[:, None]

    images = keras.Input((8, 8, 1), dtype="uint8", name="images")
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    features = keras.layers.Dense(4, activation="relu")(features)
    features = Odd(name="odd_one")(features)
    for _ in range(3):
        features = keras.layers.Dense(4)(features)
    model = keras.Model(images, {"logits": features, "probabilities": features})
    labels = Labels(("a", "b", "c", "d"), (8, 8, 1), "odd")
    named = rf"to {format} cannot take the layer odd_one \(Odd\)"
    with pytest.raises(ExportError, match=named):
        convert(ExportConfig(format=format), model, tmp_path / "model", labels, None)
    assert not (tmp_path / "trial").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    check_output(tmp_path / "out")
    for name in ("out", "out.rejected"):
        other = tmp_path / name
        other.mkdir()
        check_output(tmp_path / "out")
        (other / "mine.txt").write_text("mine")
        with pytest.raises(ConfigError, match=f"something other than an export is in .*{name};"):
            check_output(tmp_path / "out")
        (other / "mine.txt").rename(other / "export.json")
    check_output(tmp_path / "out")


def test_a_runtime_that_refuses_a_file_is_one_line(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="pip install -e .[export]")
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model" * 100)
    with ExportedModel("tflite", path, 1, tmp_path / "log") as exported:
        with pytest.raises(ExportError, match=r"model\.tflite: its own runtime fails: ValueError"):
            exported.load()
        # The process has seen neither TensorFlow nor this project's models.
        modules = exported.call(eval, "set(__import__('sys').modules)")
    assert not {"tensorflow", "keras", "models", "trainer.build"} & modules
    assert "ai_edge_litert" in modules
