"""JAX: the same networks and batches, a scan that does what single steps do."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

from benchmarks.peers import jax_scan  # noqa: E402
from benchmarks.peers._jax_network import (  # noqa: E402
    apply_model,
    convolve,
    init_parameters,
    max_pool,
)
from benchmarks.peers._networks import NETWORKS  # noqa: E402
from benchmarks.peers._options import parser  # noqa: E402

REQUIRED = ["--data=x.npz", "--output=y.json"]


@pytest.mark.parametrize("model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_trains_in_a_process(model, run_peer, digits_file, check_record, digits_parameters):
    ended = run_peer("jax_scan", f"--data={digits_file}", f"--model={model}", "--epochs=6")
    check_record(ended, epochs=6, num_parameters=digits_parameters(model))
    assert ended.record["phases"]["compile"] > 0
    assert ended.errors == []


def test_augmentation_is_refused(run_peer, digits_file):
    ended = run_peer("jax_scan", f"--data={digits_file}", "--model=mlp", "--augmentation=preset")
    assert (ended.status, len(ended.errors), ended.record) == (3, 1, None)


def test_parameters_are_those_of_models(network):
    name, num_classes, image_shape, num_parameters = network
    network, generator = NETWORKS[name], np.random.default_rng(0)
    parameters = init_parameters(network, num_classes, image_shape, generator)
    assert sum(leaf.size for leaf in jax.tree.leaves(parameters)) == num_parameters
    images = np.zeros((2, *image_shape), np.uint8)
    shape = jax.eval_shape(lambda p: apply_model(network, p, images, False), parameters)
    assert (shape.shape, shape.dtype) == ((2, num_classes), np.float32)


@pytest.mark.parametrize("side", [8, 9, 17, 18])
@pytest.mark.parametrize("name", ["cnn", "cnn5x5", "flowers_cnn"])
def test_small_and_odd_sides_are_padded_as_in_models(name, side):
    from models import MODELS

    ours = MODELS.load(name)[0].build_model(10, (side, side, 1)).count_params()
    parameters = init_parameters(NETWORKS[name], 10, (side, side, 1), np.random.default_rng(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(parameters)) == ours


def test_weights_start_as_in_keras():
    parameters = init_parameters(NETWORKS["cnn"], 10, (28, 28, 1), np.random.default_rng(0))
    kernel, biases = parameters[1]  # 3 x 3, 32 to 64.
    limit = math.sqrt(6 / (9 * (32 + 64)))
    assert 0.98 * limit < abs(kernel).max() <= limit
    assert np.std(kernel) == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert not biases.any()


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_product_of_matrices_is_the_convolution(padding, kernel):
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 9, 7, 3)).astype(np.float32)
    weights = generator.normal(size=(kernel, kernel, 3, 4)).astype(np.float32)
    expected, found = (convolve(images, weights, padding, matmul) for matmul in (False, True))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_pooling_pads_an_odd_row_or_leaves_it_out():
    images = -np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 3, 3, 1)
    assert max_pool(images, "VALID").ravel().tolist() == [-1]
    assert max_pool(images, "SAME").ravel().tolist() == [-1, -3, -7, -9]


def test_dropout_keeps_the_mean_and_does_nothing_in_evaluation():
    network = dataclasses.replace(NETWORKS["mlp16"], widths=(), dropout_rate=0.2)
    ones = [(np.eye(10_000, 1, dtype=np.float32) * 0 + 1, np.zeros(1, np.float32))]
    images = np.full((1, 100, 100, 1), 255, np.uint8)
    means = [apply_model(network, ones, images, False, key)[0, 0] / 10_000
             for key in (jax.random.key(0), None)]  # fmt: skip
    assert means == [pytest.approx(1, abs=0.02), 1]
    assert means[0] != 1


@pytest.mark.parametrize("num_examples", [64, 70, 20])
def test_a_scan_learns_what_single_steps_do(num_examples):
    """Also where batches are whole, and where one batch is more than there is."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num_examples, 8, 8, 1)).astype(np.uint8)
    labels = generator.integers(0, 10, num_examples).astype(np.int32)
    optimizer = optax.adam(1e-3)
    loss_of, _ = jax_scan.make_model_functions(parser("").parse_args([*REQUIRED, "--model=mlp16"]))
    update = jax_scan.make_update(loss_of, optimizer)

    def new_state():
        weights = init_parameters(NETWORKS["mlp16"], 10, (8, 8, 1), np.random.default_rng(1))
        return (weights, optimizer.init(weights), jax.random.key(0))

    order = np.random.default_rng(0).permutation(num_examples).astype(np.int32)
    stepped, expected = new_state(), []
    for batch in np.split(order, range(32, num_examples, 32)):
        stepped, loss = update(stepped, images[batch], labels[batch])
        expected.append(float(loss))
    train_epoch = jax_scan.compile_epoch(update, new_state(), images, labels, 32)
    scanned, losses = train_epoch(new_state(), images, labels, order)
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(scanned[0]), jax.tree.leaves(stepped[0])):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_every_test_example_counts_once():
    """300 examples are more than one batch of evaluation and less than two."""
    images = np.arange(300, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.full(300, 0, np.int32)
    labels[:7] = 1
    assert jax_scan.evaluate(lambda p, x, y: (y == 0).sum(), None, images, labels) == 293 / 300
