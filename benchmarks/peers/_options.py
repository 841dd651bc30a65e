"""The command line of every peer, and how a peer ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrate.errors import ConfigError, FlowrateError

MODELS = ("mlp", "mlp16", "mlp64", "cnn", "cnn5x5", "flowers_cnn")


class CannotRunError(FlowrateError):
    """This peer cannot do what was asked, here or at all; its row gives the reason."""

    exit_code = 3


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(f"{message}. See --help.")


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that all peers share; mistakes raise ConfigError."""
    flags = _Parser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flags.add_argument(
        "--data", type=Path, required=True,
        help="FILE.npz of train_images uint8 [N, height, width, channels], train_labels int32 [N], "
        "test_images, test_labels, class_names; keras_fit also takes a folder of class folders",
    )  # fmt: skip
    flags.add_argument("--model", choices=MODELS, required=True)
    flags.add_argument("--epochs", type=_at_least(1), default=1)
    flags.add_argument("--global_batch_size", type=_at_least(1), default=32)
    flags.add_argument("--seed", type=_at_least(0), default=0)
    flags.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    flags.add_argument("--augmentation", choices=("none", "preset"), default="none")
    flags.add_argument(
        "--max_steps_per_epoch", type=_at_least(0), default=0,
        help="train on the first so many batches' examples only; 0: on all",
    )  # fmt: skip
    flags.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    return flags


def refuse_augmentation(options: argparse.Namespace) -> None:
    """Raises CannotRunError for `--augmentation=preset`."""
    if options.augmentation != "none":
        raise CannotRunError(
            "--augmentation=preset: this peer has no augmentation; keras_fit has (none here)."
        )


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a script's main; a mistake of the user's ends it with one line and its status."""
    try:
        main(sys.argv[1:])
    except FlowrateError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _at_least(lowest: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {lowest} or more")
        return int(text)

    return whole_number
