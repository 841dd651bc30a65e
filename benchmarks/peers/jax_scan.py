"""JAX and optax, without a library of layers: the data set on the device, an epoch in one call.

The order is drawn anew each epoch (by NumPy: a millisecond, where sorting in JAX takes many), each
batch is gathered from the resident uint8 images inside `lax.scan`, and the state is donated. The
last, smaller batch is a step of its own, compiled beside the others. All compiling is done before
the first epoch and counted apart. On CPUs convolutions are products of matrices, which are many
times faster inside a scan (_jax_network.py has figures).

Tried with the Fashion-MNIST network on 2 cores, beside other work, steps/s (best of 6): scan over
uint8 images 2,116, over float images 1,865, with a promise that indices are in bounds 2,161, four
steps unrolled 1,930, over a shuffled copy 1,364; a call for each step 1,777.

`--precision=bfloat16` computes in bfloat16 and keeps weights, loss and Adam in float32.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    import optax
    from jax import lax
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed: pip install -e .[peers]")

from benchmarks.peers._jax_network import apply_model, init_parameters
from benchmarks.peers._networks import NETWORKS
from benchmarks.peers._options import load_arrays, parser, refuse_augmentation, run
from benchmarks.peers._record import Record

LEARNING_RATE = 1e-3
EPSILON = 1e-7
# Large enough to be fast, small enough for photos in a few gigabytes.
EVALUATION_BATCH_SIZE = 256

# (parameters, Adam's state, random key)
State = tuple[Any, Any, jax.Array]


def main(argv: Sequence[str]) -> None:
    """Trains, evaluates and writes the record."""
    record = Record()
    options = parser(__doc__).parse_args(argv)
    refuse_augmentation(options)
    with record.phase("data"):
        data = load_arrays(options)
        images, labels = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
    with record.phase("build"):
        _, height, width, channels = images.shape
        generator = np.random.default_rng(options.seed)
        parameters = init_parameters(
            NETWORKS[options.model], data.num_classes, (height, width, channels), generator
        )
        num_parameters = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        optimizer = optax.adam(LEARNING_RATE, eps=EPSILON)
        state = (parameters, jax.jit(optimizer.init)(parameters), jax.random.key(options.seed))
        loss_of, count_right = make_model_functions(options)
    with record.phase("compile"):
        update = make_update(loss_of, optimizer)
        train_epoch = compile_epoch(update, state, images, labels, options.global_batch_size)
    num_steps = math.ceil(len(labels) / options.global_batch_size)
    with record.phase("train"):
        for _ in range(options.epochs):
            started = time.perf_counter()
            order = generator.permutation(len(labels)).astype(np.int32)
            state, losses = train_epoch(state, images, labels, order)
            train_loss = float(np.mean(jax.device_get(losses)))  # Waits for the device.
            record.add_epoch(num_steps, time.perf_counter() - started)
    with record.phase("evaluate"):
        test_accuracy = evaluate(count_right, state[0], data.test_images, data.test_labels)
    record.write(
        options.output, test_accuracy=test_accuracy, train_loss=train_loss,
        num_parameters=num_parameters,
    )  # fmt: skip


def make_model_functions(options: argparse.Namespace) -> tuple[Callable, Callable]:
    """Returns two functions of (parameters, images, labels, ...): the loss, the number right."""
    network, on_cpu = NETWORKS[options.model], jax.default_backend() == "cpu"

    def logits_of(parameters, images, as_matmul, dropout_key=None):
        parameters = jax.tree.map(lambda leaf: leaf.astype(options.precision), parameters)
        return apply_model(network, parameters, images, as_matmul, dropout_key)

    def loss_of(parameters, images, labels, dropout_key):
        logits = logits_of(parameters, images, on_cpu, dropout_key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def count_right(parameters, images, labels):
        # No scan here, and batches are large: XLA's convolution is the faster one.
        logits = logits_of(parameters, images, as_matmul=False)
        return jnp.sum(jnp.argmax(logits, axis=1) == labels)

    return loss_of, count_right


def make_update(loss_of: Callable, optimizer: optax.GradientTransformation) -> Callable:
    """Returns the step: (state, images, labels of one batch) -> (state, loss)."""

    def update(state: State, images: jax.Array, labels: jax.Array) -> tuple[State, jax.Array]:
        parameters, optimizer_state, key = state
        key, dropout_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_of)(parameters, images, labels, dropout_key)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
        return (optax.apply_updates(parameters, updates), optimizer_state, key), loss

    return update


def compile_epoch(
    update: Callable, state: State, images: jax.Array, labels: jax.Array, global_batch_size: int
) -> Callable[..., tuple[State, jax.Array]]:
    """Compiles an epoch: (state, images, labels, order int32 [N]) -> (state, losses)."""
    num_whole = len(labels) // global_batch_size * global_batch_size

    def train_epoch(state, images, labels, order):
        def step(state, indices):
            return update(state, images[indices], labels[indices])

        whole, rest = order[:num_whole].reshape(-1, global_batch_size), order[num_whole:]
        state, losses = lax.scan(step, state, whole)
        if rest.size:
            state, loss = step(state, rest)
            losses = jnp.append(losses, loss)
        return state, losses

    order = jax.ShapeDtypeStruct(labels.shape, jnp.int32)
    return jax.jit(train_epoch, donate_argnums=0).lower(state, images, labels, order).compile()


def evaluate(count_right: Callable, parameters, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the accuracy. The last batch is filled up, so that one shape is compiled."""
    count_right = jax.jit(count_right)
    num_missing = -len(labels) % EVALUATION_BATCH_SIZE
    images = np.pad(images, ((0, num_missing), (0, 0), (0, 0), (0, 0)))
    no_class = -1
    padded_labels = np.pad(labels, (0, num_missing), constant_values=no_class)
    num_right = 0
    for first in range(0, len(padded_labels), EVALUATION_BATCH_SIZE):
        part = slice(first, first + EVALUATION_BATCH_SIZE)
        num_right += int(count_right(parameters, images[part], padded_labels[part]))
    return num_right / len(labels)


if __name__ == "__main__":
    run(main)
