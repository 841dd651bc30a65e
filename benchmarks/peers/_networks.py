"""The networks of models/, described once for Keras, PyTorch and JAX."""

from __future__ import annotations

import dataclasses

# Three unpadded convolutions and two poolings leave nothing of a smaller image.
_MIN_UNPADDED_SIDE = 18


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network is made of.

    Attributes:
        filters: of each convolution.
        pooled: after which convolutions (0 is the first) there is a pooling.
        kernel: side of the convolutions' windows.
        widths: of the dense layers before the logits.
        only_small_pads: sizes are kept only where images are too small to do without.
        rounds_up: whether a pooling pads an odd side too, where sizes are kept.
        dropout_rate: before the dense layers.
    """

    filters: tuple[int, ...] = ()
    pooled: tuple[int, ...] = ()
    kernel: int = 0
    widths: tuple[int, ...] = ()
    only_small_pads: bool = False
    rounds_up: bool = True
    dropout_rate: float = 0.0

    def pads(self, height: int, width: int) -> bool:
        """Tells whether convolutions keep the size of images."""
        return not self.only_small_pads or min(height, width) < _MIN_UNPADDED_SIDE


NETWORKS = {
    "mlp": Network(widths=(128,)),
    "mlp16": Network(widths=(16, 16)),
    "mlp64": Network(widths=(64, 64)),
    "cnn": Network((32, 64, 64), pooled=(0, 1), kernel=3, widths=(64,), only_small_pads=True),
    "cnn5x5": Network((32, 32, 32, 32), pooled=(1, 3), kernel=5, widths=(128,)),
    "flowers_cnn": Network(
        (16, 32, 64), pooled=(0, 1, 2), kernel=3, widths=(128,), rounds_up=False, dropout_rate=0.2
    ),
}
