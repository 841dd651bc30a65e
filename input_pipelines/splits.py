"""Cutting one split in two: stratified by class, and by a seed alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flowrate.errors import ConfigError
from input_pipelines.folders.tree import some
from input_pipelines.source import Source


def hold_out(source: Source, num_held_out: int, seed: int) -> tuple[Source, Source]:
    """Splits off examples so that each class keeps its share, to within one example.

    Args:
        source: N examples.
        num_held_out: how many go into the second part; 0 < num_held_out < N.
        seed: the same seed gives the same parts, whatever else differs.

    Returns:
        (kept, held out), each in the order of the source.

    Raises:
        ConfigError: nothing would be left to train on.
    """
    if num_held_out >= len(source):
        raise ConfigError(
            f"--validation_examples={num_held_out}: the training split has {len(source)} examples; "
            f"use at most {len(source) - 1}."
        )
    held_out = stratified_indices(source.labels, num_held_out, seed)
    mask = np.zeros(len(source), bool)
    mask[held_out] = True
    return source.take(np.flatnonzero(~mask)), source.take(np.flatnonzero(mask))


def stratified_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws `count` indices so that each class has its share (largest remainders get the rest).

    Args:
        labels: int [N].
        count: 0 <= count <= N.

    Returns:
        int64 [count], sorted.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    # A stable sort on the remainder: ties go to the lower class, on every platform.
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: count - quotas.sum()]] += 1
    generator = np.random.Generator(np.random.PCG64([seed, count]))
    drawn = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas)
    ]
    return np.sort(np.concatenate(drawn))


def absent_classes(sources: Mapping[str, Source]) -> list[str]:
    """Returns a line for each split that lacks examples of a class."""
    lines = []
    for split, source in sources.items():
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        if names := [source.class_names[label] for label in np.flatnonzero(counts == 0)]:
            effect = "never learnt" if split == "train" else f"not seen in the {split} figures"
            lines.append(f"{split} has no example of {some(names)}: {effect}; add images.")
    return lines
