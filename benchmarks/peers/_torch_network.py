"""The networks of models/ in PyTorch, with Keras's initial weights.

ReLU comes after each pooling: the largest of four is the same before and after ReLU, and a quarter
of the work is left for it. (Best of a few short rounds on 2 cores beside other work: MNIST CNN 62
steps/s without and 89 with, flowers 0.8 and 1.1.)
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.peers._networks import Network


class ChannelsFirst(nn.Module):
    """[N, height, width, channels] -> PyTorch's order of axes; the bytes stay where they are."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2)


def build_model(
    network: Network, num_classes: int, image_shape: tuple[int, int, int]
) -> nn.Sequential:
    """Returns the model: float32 [N, *image_shape] from 0 to 1 -> logits [N, num_classes]."""
    pads, num_inputs = network.pads(*image_shape[:2]), image_shape[2]
    model = nn.Sequential(ChannelsFirst())
    for number, num_filters in enumerate(network.filters):
        edge = network.kernel // 2 if pads else 0
        model.append(nn.Conv2d(num_inputs, num_filters, network.kernel, padding=edge))
        if number in network.pooled:
            # Rounding the size up is Keras's padding="same" of a pooling by two.
            model.append(nn.MaxPool2d(2, ceil_mode=pads and network.rounds_up))
        model.append(nn.ReLU())
        num_inputs = num_filters
    if network.dropout_rate:
        model.append(nn.Dropout(network.dropout_rate))
    model.append(nn.Flatten())
    num_inputs = model(torch.zeros(1, *image_shape)).shape[1]
    for width in network.widths:
        model.extend([nn.Linear(num_inputs, width), nn.ReLU()])
        num_inputs = width
    model.append(nn.Linear(num_inputs, num_classes))
    model.apply(_initialize_like_keras)
    # PyTorch's own types of `to` leave this form out.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _initialize_like_keras(layer: nn.Module) -> None:
    """Glorot-uniform weights and zero biases."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None  # Both are made with one.
        nn.init.zeros_(layer.bias)
