"""The data of an .npz file, as a peer gets it."""

from __future__ import annotations

import argparse
import dataclasses
import zipfile

import numpy as np

from flowrate.errors import DataError


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A data set in memory.

    Attributes:
        train_images, test_images: uint8 [N, height, width, channels].
        train_labels, test_labels: int32 [N].
        num_classes: how many there are.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int


def load_arrays(options: argparse.Namespace) -> Arrays:
    """Reads `--data`, cut to `--max_steps_per_epoch` batches of training examples.

    Raises:
        DataError: the file is missing or is no such archive.
    """
    num_examples = options.max_steps_per_epoch * options.global_batch_size or None
    try:
        with np.load(options.data, allow_pickle=False) as archive:
            return Arrays(
                train_images=archive["train_images"][:num_examples],
                train_labels=archive["train_labels"][:num_examples],
                test_images=archive["test_images"],
                test_labels=archive["test_labels"],
                num_classes=len(archive["class_names"]),
            )
    except (OSError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"--data={options.data}: {reason}. Give an .npz file of train_images, train_labels, "
            "test_images, test_labels and class_names."
        ) from None
