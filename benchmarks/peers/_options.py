"""The command line of every peer, its data, and how it ends."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers._networks import NETWORKS
from flowrate.errors import DataError, FlowrateError


class CannotRunError(FlowrateError):
    """This peer cannot do what was asked, here or at all; its row gives the reason."""

    exit_code = 3


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


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that all peers share."""
    flags = argparse.ArgumentParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flags.add_argument(
        "--data", type=Path, required=True,
        help="FILE.npz of train_images uint8 [N, height, width, channels], train_labels int32 [N], "
        "test_images, test_labels, class_names; keras_fit also takes a folder of class folders",
    )  # fmt: skip
    flags.add_argument("--model", choices=NETWORKS, required=True)
    flags.add_argument("--epochs", type=int, default=1)
    flags.add_argument("--global_batch_size", type=int, default=32)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    flags.add_argument("--augmentation", choices=("none", "preset"), default="none")
    flags.add_argument(
        "--max_steps_per_epoch", type=int, default=0,
        help="train on the first so many batches' examples only; 0: on all",
    )  # fmt: skip
    flags.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    return flags


def refuse_augmentation(options: argparse.Namespace) -> None:
    """Raises CannotRunError for `--augmentation=preset`."""
    if options.augmentation != "none":
        raise CannotRunError("--augmentation=preset: of the peers, only keras_fit augments.")


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


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a script's main; a mistake of the user's ends it with one line and its status."""
    try:
        main(sys.argv[1:])
    except FlowrateError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
