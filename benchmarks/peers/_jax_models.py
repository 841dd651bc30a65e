"""The networks of models/ in plain JAX, with Keras's initial weights."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers._jax_layers import convolve, dropout, max_pool

# Three unpadded convolutions and two poolings leave nothing of a smaller image.
MIN_UNPADDED_SIDE = 18

Parameters = list[tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network is made of.

    Attributes:
        filters: of each convolution.
        pooled: after which convolutions (0 is the first) there is a pooling.
        kernel: side of the convolutions' windows.
        widths: of the dense layers before the logits.
        pads: whether sizes are kept; None: only for images too small to do without.
        rounds_up: whether a pooling pads an odd side too, where `pads` holds.
        dropout_rate: before the dense layers.
    """

    filters: tuple[int, ...] = ()
    pooled: tuple[int, ...] = ()
    kernel: int = 0
    widths: tuple[int, ...] = ()
    pads: bool | None = True
    rounds_up: bool = True
    dropout_rate: float = 0.0


NETWORKS = {
    "mlp": Network(widths=(128,)),
    "mlp16": Network(widths=(16, 16)),
    "mlp64": Network(widths=(64, 64)),
    "cnn": Network(filters=(32, 64, 64), pooled=(0, 1), kernel=3, widths=(64,), pads=None),
    "cnn5x5": Network(filters=(32, 32, 32, 32), pooled=(1, 3), kernel=5, widths=(128,)),
    "flowers_cnn": Network(
        filters=(16, 32, 64),
        pooled=(0, 1, 2),
        kernel=3,
        widths=(128,),
        rounds_up=False,
        dropout_rate=0.2,
    ),
}


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
    if network.dropout_rate:
        features = dropout(features, network.dropout_rate, dropout_key)
    *hidden, (weights, biases) = parameters[len(network.filters) :]
    for hidden_weights, hidden_biases in hidden:
        features = jax.nn.relu(features @ hidden_weights + hidden_biases)
    return (features @ weights + biases).astype(jnp.float32)


def _convolutions(
    network: Network, parameters: Parameters, features: jax.Array, as_matmul: bool
) -> jax.Array:
    pads = network.pads
    if pads is None:
        pads = min(features.shape[1:3]) < MIN_UNPADDED_SIDE
    padding = "SAME" if pads else "VALID"
    for layer, (weights, biases) in enumerate(parameters[: len(network.filters)]):
        features = convolve(features, weights, padding, as_matmul) + biases
        # The largest of four is the same before and after ReLU, which then has less to do.
        if layer in network.pooled:
            features = max_pool(features, padding if network.rounds_up else "VALID")
        features = jax.nn.relu(features)
    return features
