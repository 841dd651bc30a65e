"""predictions.npz: what a model answered for each example of a split, and examples to look at."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowrate.errors import RunDirError
from flowrate.records import disk_errors, written_whole
from trainer.checkpoints.npz import read_arrays

FILE = "predictions.npz"
_NUM_SAMPLES = 15
_NUM_MISTAKES = 15
# Of the images kept: a report is to be sent by mail.
_MAX_IMAGE_BYTES = 8 * 2**20


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Answers to N examples of C classes, S of them kept with their images.

    Attributes:
        labels: int32 [N], the true classes.
        predicted: int32 [N], the most probable classes.
        confidences: float32 [N], their probabilities.
        ranks: int32 [N], how many classes came before the true one; 0 is right.
        shown: int64 [S], which examples are kept: `num_samples` spread over the split, then the
            most confident mistakes, the worst first.
        num_samples: of those.
        images: uint8 [S, height, width, channels].
        probabilities: float32 [S, C].
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidences: np.ndarray
    ranks: np.ndarray
    shown: np.ndarray
    num_samples: int
    images: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_right(self) -> np.ndarray:
        """Bool [N]."""
        return self.ranks == 0

    @classmethod
    def from_logits(
        cls,
        logits: np.ndarray,
        labels: np.ndarray,
        read_images: Callable[[np.ndarray], np.ndarray],
    ) -> Predictions:
        """Takes float32 [N, C] logits of a split, and its int32 [N] labels.

        Args:
            read_images: gives the images, uint8 [M, height, width, channels], of int64 [M] indices.
        """
        probabilities = softmax(logits)
        predicted = logits.argmax(axis=1).astype(np.int32)
        confidences = probabilities[np.arange(len(logits)), predicted]
        wrong = np.flatnonzero(predicted != labels)
        worst = wrong[np.argsort(-confidences[wrong], kind="stable")]
        first = read_images(np.arange(1))
        most = max(2, _MAX_IMAGE_BYTES // first.nbytes)
        samples = _spread(len(logits), min(_NUM_SAMPLES, most // 2))
        shown = np.concatenate([samples, worst[: min(_NUM_MISTAKES, most // 2)]])
        return cls(
            labels=labels,
            predicted=predicted,
            confidences=confidences,
            ranks=_ranks(logits, labels),
            shown=shown,
            num_samples=len(samples),
            images=read_images(shown),
            probabilities=probabilities[shown],
        )

    def save(self, folder: Path) -> None:
        """Writes predictions.npz, whole or not at all.

        Raises:
            DiskError: it cannot be written.
        """
        path = folder / FILE
        with disk_errors(path), written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path, num_classes: int) -> Predictions | None:
        """Reads predictions.npz; None where there is none.

        Raises:
            RunDirError: it is damaged, or not what `save` writes.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            arrays = read_arrays(path)
            _check(arrays, num_classes)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunDirError(f"{path} is damaged ({error}); delete it.") from None
        num_samples = int(arrays.pop("num_samples"))
        return cls(**arrays, num_samples=num_samples)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns float32 [N, C] probabilities of [N, C] logits, computed in float64."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def _ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns int32 [N]; of equal logits the lower class comes first, as with argmax."""
    of_label = logits[np.arange(len(logits)), labels][:, None]
    is_lower_class = np.arange(logits.shape[1]) < labels[:, None]
    before = (logits > of_label) | ((logits == of_label) & is_lower_class)
    return before.sum(axis=1, dtype=np.int32)


def _spread(num_examples: int, count: int) -> np.ndarray:
    """Returns int64 [count], evenly over the examples; all of them where there are fewer."""
    count = min(count, num_examples)
    return np.arange(count, dtype=np.int64) * num_examples // count


def _check(arrays: dict[str, np.ndarray], num_classes: int) -> None:
    """Raises ValueError or KeyError unless these are arrays that fit together."""
    num, num_shown = len(arrays["labels"]), len(arrays["shown"])
    shapes = {
        "labels": ("i4", (num,)), "predicted": ("i4", (num,)), "confidences": ("f4", (num,)),
        "ranks": ("i4", (num,)), "shown": ("i8", (num_shown,)), "num_samples": ("i8", ()),
        "probabilities": ("f4", (num_shown, num_classes)),
        "images": ("u1", (num_shown, *arrays["images"].shape[1:])),
    }  # fmt: skip
    for name, (dtype, shape) in shapes.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}")
    for name, end in (
        ("labels", num_classes), ("predicted", num_classes), ("ranks", num_classes), ("shown", num),
    ):  # fmt: skip
        if num_shown and not (arrays[name].min() >= 0 and arrays[name].max() < end):
            raise ValueError(f"{name} is out of range")
    if arrays["images"].ndim != 4 or not 0 <= arrays["num_samples"] <= num_shown:
        raise ValueError("the images do not fit")
    if not all(np.isfinite(arrays[name]).all() for name in ("confidences", "probabilities")):
        raise ValueError("not finite")
