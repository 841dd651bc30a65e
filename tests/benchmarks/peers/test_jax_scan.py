"""JAX: the same networks and batches, a scan that does what single steps do."""

from __future__ import annotations

import math

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

from benchmarks.peers import jax_scan  # noqa: E402
from benchmarks.peers._jax_layers import convolve, dropout, max_pool  # noqa: E402
from benchmarks.peers._jax_models import NETWORKS, apply_model, init_parameters  # noqa: E402

REQUIRED = ["--data=x.npz", "--output=y.json"]


@pytest.mark.parametrize(
    "flags",
    [("mlp", "--mode=scan"), pytest.param(("cnn", "--mode=step"), marks=pytest.mark.slow)],
    ids=str,
)
def test_trains_in_a_process(flags, run_peer, digits_file, check_record, digits_parameters):
    model, mode = flags
    ended = run_peer("jax_scan", f"--data={digits_file}", f"--model={model}", mode, "--epochs=6")
    check_record(ended, epochs=6, num_parameters=digits_parameters(model))
    assert ended.record["compile_seconds"] > 0
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
    ones = np.ones(10_000, np.float32)
    dropped = dropout(ones, 0.2, jax.random.key(0))
    assert set(np.unique(dropped).tolist()) == {0.0, 1.25}
    assert np.mean(dropped) == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(dropout(ones, 0.2, None), ones)


def test_the_order_is_cut_without_loss():
    whole, rest = jax_scan.split_order(np.arange(70), 32)
    assert whole.shape == (2, 32)
    assert [*whole.ravel(), *rest] == list(range(70))


@pytest.mark.parametrize("num_examples", [64, 70, 20])
def test_scan_and_steps_learn_the_same(num_examples):
    """Also where batches are whole, and where one batch is more than there is."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num_examples, 8, 8, 1)).astype(np.uint8)
    labels = generator.integers(0, 10, num_examples).astype(np.int32)
    optimizer = optax.adam(1e-3)
    loss_of, _ = jax_scan.make_model_functions(
        jax_scan.parse([*REQUIRED, "--model=mlp16", "--mode=scan"])
    )
    update = jax_scan.make_update(loss_of, optimizer)
    results = []
    for make_epoch in (jax_scan.make_scanned_epoch, jax_scan.make_stepped_epoch):
        weights = init_parameters(NETWORKS["mlp16"], 10, (8, 8, 1), np.random.default_rng(1))
        state = (weights, optimizer.init(weights), jax.random.key(0))
        train_epoch = make_epoch(update, state, images, labels, 32)
        for epoch in range(2):
            order = np.random.default_rng(epoch).permutation(num_examples).astype(np.int32)
            state, losses = train_epoch(state, order)
        results.append((np.array(jax.device_get(losses)), state[0]))
    assert len(results[0][0]) == math.ceil(num_examples / 32)
    np.testing.assert_allclose(*(losses for losses, _ in results), atol=1e-5)
    for scanned, stepped in zip(*(jax.tree.leaves(weights) for _, weights in results)):
        np.testing.assert_allclose(scanned, stepped, atol=1e-5)


def test_every_test_example_counts_once():
    """300 examples are more than one batch of evaluation and less than two."""
    images = np.arange(300, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.full(300, 0, np.int32)
    labels[:7] = 1
    assert jax_scan.evaluate(lambda p, x, y: (y == 0).sum(), None, images, labels) == 293 / 300


def test_convolutions_are_products_in_a_scan_on_a_cpu_only():
    def as_matmul(*flags):
        return jax_scan.parse([*REQUIRED, "--model=cnn", *flags]).as_matmul

    on_cpu = jax.default_backend() == "cpu"
    assert as_matmul("--mode=scan") is on_cpu
    assert as_matmul("--mode=step") is False
    assert as_matmul("--mode=scan", "--convolution=xla") is False
    assert as_matmul("--mode=step", "--convolution=matmul") is True
