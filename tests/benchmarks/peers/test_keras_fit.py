"""Plain Keras: the tutorials' networks, all examples in each epoch, another order each time."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.keras_fit import build_model

pytestmark = pytest.mark.usefixtures("tf")


def test_trains_in_a_process(run_peer, digits_file, check_record, digits_parameters):
    ended = run_peer("keras_fit", f"--data={digits_file}", "--model=mlp", "--epochs=8")
    check_record(ended, epochs=8, num_parameters=digits_parameters("mlp"))


def test_parameters_are_those_of_models(network):
    name, num_classes, image_shape, num_parameters = network
    assert build_model(name, num_classes, image_shape, augment=False).count_params() == (
        num_parameters
    )


def test_the_flowers_tutorials_second_network_has_augmentation_and_dropout():
    first, second = (build_model("flowers_cnn", 5, (180, 180, 3), a) for a in (False, True))
    names = {type(layer).__name__ for layer in second.layers}
    added = names - {type(layer).__name__ for layer in first.layers}
    assert added == {"RandomFlip", "RandomRotation", "RandomZoom", "Dropout"}
    assert first.count_params() == second.count_params()


def test_the_seed_gives_the_weights_but_not_one_order_for_all_epochs(tf):
    # Other tests of this process may have set TensorFlow's global seed; the script never does.
    tf.random.set_seed(None)
    orders, weights = [], []
    for _ in range(2):
        random.seed(3)
        model = build_model("mlp16", 10, (8, 8, 1), augment=False)
        weights.append(model.get_weights()[0])
        seen = []

        def remember(labels, logits, seen=seen):
            seen.append(np.ravel(labels))
            return keras.ops.mean(logits)

        model.compile(optimizer="adam", loss=remember, run_eagerly=True)
        model.fit(np.zeros((70, 8, 8, 1)), np.arange(70), epochs=2, verbose=0, batch_size=32)
        assert list(map(len, seen)) == [32, 32, 6] * 2
        orders += [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert all(sorted(order) == list(range(70)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.slow
def test_photos_from_a_folder(run_peer, tmp_path):
    generator = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 255)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, brightness, (20, 30, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    ended = run_peer(
        "keras_fit", f"--data={tmp_path / 'photos'}", "--model=flowers_cnn", "--epochs=2",
        "--augmentation=preset", "--global_batch_size=12",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert [num_steps for num_steps, _ in ended.record["segments"]] == [3, 3]


def test_a_folder_without_classes(run_peer, tmp_path):
    ended = run_peer("keras_fit", f"--data={tmp_path}", "--model=flowers_cnn")
    assert ended.status == 3
    assert ended.errors[-1].startswith(f"error: --data={tmp_path}: ")


def test_augmentation_of_other_networks_is_refused(run_peer, digits_file):
    ended = run_peer("keras_fit", f"--data={digits_file}", "--model=cnn", "--augmentation=preset")
    assert (ended.status, len(ended.errors)) == (3, 1)
    assert "only the flowers tutorial augments" in ended.errors[0]
