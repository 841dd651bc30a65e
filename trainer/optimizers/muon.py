"""Muon: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024."""

from typing import Any

import keras


def build(shared: dict[str, Any], *, momentum: float, weight_decay: float) -> keras.Optimizer:
    """Returns the optimizer, for hidden matrices; the head goes to AdamW, as its authors advise."""
    return keras.optimizers.Muon(
        momentum=momentum, exclude_layers=["logits"], adam_weight_decay=weight_decay, **shared
    )
