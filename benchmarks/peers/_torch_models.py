"""The networks of models/ in PyTorch, with Keras's initial weights.

ReLU comes after each pooling: the largest of four is the same before and after ReLU, and a quarter
of the work is left for it. (Best of a few short rounds on 2 cores beside other work: MNIST CNN 62
steps/s without and 89 with, flowers 0.8 and 1.1.)
"""

from __future__ import annotations

import torch
from torch import nn

# Three unpadded convolutions and two poolings leave nothing of a smaller image.
MIN_UNPADDED_SIDE = 18


class ChannelsFirst(nn.Module):
    """[N, height, width, channels] -> PyTorch's order of axes; the bytes stay where they are."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2)


def build_model(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> nn.Sequential:
    """Returns the model: float32 [N, *image_shape] from 0 to 1 -> logits [N, num_classes]."""
    build_convolutions, widths = _NETWORKS[name]
    model = nn.Sequential(*build_convolutions(image_shape), nn.Flatten())
    num_inputs = model(torch.zeros(1, *image_shape)).shape[1]
    for width in widths:
        model.extend([nn.Linear(num_inputs, width), nn.ReLU()])
        num_inputs = width
    model.append(nn.Linear(num_inputs, num_classes))
    model.apply(_initialise_like_keras)
    return model.to(memory_format=torch.channels_last)


def _initialise_like_keras(layer: nn.Module) -> None:
    """Glorot-uniform weights and zero biases."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def _no_convolutions(image_shape: tuple[int, int, int]) -> list[nn.Module]:
    return []


def _cnn(image_shape: tuple[int, int, int]) -> list[nn.Module]:
    small = min(image_shape[:2]) < MIN_UNPADDED_SIDE
    padding = 1 if small else 0
    return [
        ChannelsFirst(),
        nn.Conv2d(image_shape[2], 32, 3, padding=padding),
        # Rounding the size up is Keras's padding="same" of a pooling by two.
        nn.MaxPool2d(2, ceil_mode=small),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=padding),
        nn.MaxPool2d(2, ceil_mode=small),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=padding),
        nn.ReLU(),
    ]


def _cnn5x5(image_shape: tuple[int, int, int]) -> list[nn.Module]:
    layers = [ChannelsFirst()]
    for num_inputs in (image_shape[2], 32):
        layers += [
            nn.Conv2d(num_inputs, 32, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
        ]
    return layers


def _flowers_cnn(image_shape: tuple[int, int, int]) -> list[nn.Module]:
    layers = [ChannelsFirst()]
    for num_inputs, num_filters in ((image_shape[2], 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(num_inputs, num_filters, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
        ]
    return [*layers, nn.Dropout(0.2)]


# The convolutions, and the widths of the dense layers between them and the logits.
_NETWORKS = {
    "mlp": (_no_convolutions, (128,)),
    "mlp16": (_no_convolutions, (16, 16)),
    "mlp64": (_no_convolutions, (64, 64)),
    "cnn": (_cnn, (64,)),
    "cnn5x5": (_cnn5x5, (128,)),
    "flowers_cnn": (_flowers_cnn, (128,)),
}
