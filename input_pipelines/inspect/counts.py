"""How many examples each class has in each split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from input_pipelines.source import Source


@dataclasses.dataclass(frozen=True)
class Counts:
    """Examples by split and class.

    Attributes:
        class_names: C of them, in label order.
        by_split: {split: int64 [C]}.
    """

    class_names: tuple[str, ...]
    by_split: dict[str, np.ndarray]

    @property
    def total(self) -> int:
        return int(sum(counts.sum() for counts in self.by_split.values()))

    def examples(self, split: str) -> int:
        """Returns how many examples a split has."""
        return int(self.by_split[split].sum())

    def imbalance(self, split: str) -> float | None:
        """Returns the largest class's examples over the smallest's; None where a class has none."""
        counts = self.by_split[split]
        return float(counts.max() / counts.min()) if counts.min() else None

    def shares(self, split: str) -> np.ndarray:
        """Returns float64 [C]: the part of a split's examples that each class has."""
        return self.by_split[split] / self.by_split[split].sum()

    def to_json(self) -> dict[str, Any]:
        """Returns the splits, JSON-able."""
        return {
            split: {
                "examples": self.examples(split),
                "share": self.examples(split) / self.total,
                "imbalance": self.imbalance(split),
                "classes": [
                    {"name": name, "examples": int(count), "share": float(share)}
                    for name, count, share in zip(self.class_names, counts, self.shares(split))
                ],
            }
            for split, counts in self.by_split.items()
        }


def count_classes(sources: Mapping[str, Source]) -> Counts:
    """Counts the labels of each split."""
    names = next(iter(sources.values())).class_names
    return Counts(
        names,
        {
            split: np.bincount(source.labels, minlength=len(names))
            for split, source in sources.items()
        },
    )
