"""The networks of models/ in plain JAX, with Keras's first weights, as fast as found on a CPU.

Measured with the MNIST CNN on 2 cores, batch 32, beside other work, steps/s: with
`lax.conv_general_dilated` 22 to 57 in a jitted step but 2 to 4 inside `lax.scan`, where XLA's CPU
backend runs convolutions on a slow path; as a product of matrices 31 to 33 and 66 to 73. Pooling by
`lax.reduce_window` 22, by reshaping 52: its gradient needs no search.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers._networks import Network

Parameters = list[tuple[jax.Array, jax.Array]]


def init_parameters(
    network: Network,
    num_classes: int,
    image_shape: tuple[int, int, int],
    generator: np.random.Generator,
) -> Parameters:
    """Returns (weights, biases) of each layer: Glorot-uniform, and zeros.

    Drawn by NumPy: JAX would compile a function for each shape first.
    """
    parameters = []

    def add_layer(*shape: int) -> None:
        window = math.prod(shape[:-2])
        limit = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
        weights = generator.uniform(-limit, limit, shape).astype(np.float32)
        parameters.append((jnp.asarray(weights), jnp.asarray(np.zeros(shape[-1], np.float32))))

    num_inputs = image_shape[2]
    for num_filters in network.filters:
        add_layer(network.kernel, network.kernel, num_inputs, num_filters)
        num_inputs = num_filters
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    num_inputs = jax.eval_shape(lambda x: _convolutions(network, parameters, x, False), image).size
    for width in (*network.widths, num_classes):
        add_layer(num_inputs, width)
        num_inputs = width
    return parameters


def apply_model(
    network: Network,
    parameters: Parameters,
    images: jax.Array,
    as_matmul: bool,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Returns logits float32 [N, num_classes].

    Args:
        network: one of NETWORKS.
        parameters: of `init_parameters`; it is computed in their type.
        images: uint8 [N, height, width, channels].
        as_matmul: how to convolve, see `convolve`.
        dropout_key: for training; None for evaluation.
    """
    pixels = images.astype(parameters[0][0].dtype) / 255
    features = _convolutions(network, parameters, pixels, as_matmul).reshape(len(images), -1)
    if network.dropout_rate and dropout_key is not None:
        kept = jax.random.bernoulli(dropout_key, 1 - network.dropout_rate, features.shape)
        scaled = features / (1 - network.dropout_rate)
        features = jnp.where(kept, scaled, 0).astype(features.dtype)
    *hidden, (weights, biases) = parameters[len(network.filters) :]
    for hidden_weights, hidden_biases in hidden:
        features = jax.nn.relu(features @ hidden_weights + hidden_biases)
    return (features @ weights + biases).astype(jnp.float32)


def convolve(images: jax.Array, weights: jax.Array, padding: str, as_matmul: bool) -> jax.Array:
    """Returns the convolution with stride 1.

    Args:
        images: [N, height, width, channels].
        weights: [kernel, kernel, channels, filters]; the kernel's side is odd.
        padding: "SAME" or "VALID".
        as_matmul: gather the patches and multiply matrices; otherwise XLA's convolution.
    """
    if not as_matmul:
        axes = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(images, weights, (1, 1), padding, dimension_numbers=axes)
    kernel, _, num_inputs, num_filters = weights.shape
    if padding == "SAME":
        edge = (kernel // 2, kernel // 2)
        images = jnp.pad(images, ((0, 0), edge, edge, (0, 0)))
    height, width = images.shape[1] - kernel + 1, images.shape[2] - kernel + 1
    patches = [
        images[:, row : row + height, column : column + width]
        for row in range(kernel)
        for column in range(kernel)
    ]
    matrix = weights.reshape(kernel * kernel * num_inputs, num_filters)
    return jnp.concatenate(patches, axis=-1) @ matrix


def max_pool(images: jax.Array, padding: str) -> jax.Array:
    """Returns the largest of each 2 x 2 pixels; an odd row is padded ("SAME") or left out."""
    num_images, height, width, channels = images.shape
    if padding == "SAME":
        odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
        images = jnp.pad(images, odd, constant_values=-jnp.inf)
    height, width = images.shape[1] // 2, images.shape[2] // 2
    images = images[:, : 2 * height, : 2 * width]
    return images.reshape(num_images, height, 2, width, 2, channels).max(axis=(2, 4))


def _convolutions(
    network: Network, parameters: Parameters, features: jax.Array, as_matmul: bool
) -> jax.Array:
    padding = "SAME" if network.pads(*features.shape[1:3]) else "VALID"
    for layer, (weights, biases) in enumerate(parameters[: len(network.filters)]):
        features = convolve(features, weights, padding, as_matmul) + biases
        # The largest of four is the same before and after ReLU, which then has less to do.
        if layer in network.pooled:
            features = max_pool(features, padding if network.rounds_up else "VALID")
        features = jax.nn.relu(features)
    return features
