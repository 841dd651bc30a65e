"""Says what images show: `python -m trainer.predict runs/mine photo.jpg folder`.

A file that cannot be used is named, and the others go on.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flowrate import options
from flowrate.command import run_command
from flowrate.errors import ConfigError, DataError
from flowrate.options import option
from input_pipelines.datasets import DATASETS
from input_pipelines.images.paths import FoundImages, find_images
from trainer.predict.answer import Answer
from trainer.predict.output import PLOT_SUFFIXES, Output
from trainer.trained.run import FINAL, TrainedRun

USAGE = """Says what images show, by a trained run.

    python -m trainer.predict RUN_DIR IMAGE_OR_FOLDER ... [--flag=value ...]

Of a folder, the images in it and in its folders. After a word -- all others are names."""

_GROUP = "Prediction"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How to predict."""

    top: int = option(
        3, group=_GROUP, lower_bound=1, upper_bound=1000, help="Classes to tell, best first."
    )
    json: bool = option(False, group=_GROUP, help="Print JSON in place of lines.")
    plot: str | None = option(
        None, group=_GROUP,
        help=f"Draw the images and their classes into this file ({', '.join(PLOT_SUFFIXES)}).",
    )  # fmt: skip
    invert: str = option(
        "auto", group=_GROUP, choices=("auto", "on", "off"),
        help="Dark on white to bright on black; auto: where the run's data set is bright on black "
        "(mnist, fashion_mnist, digits) and the median pixel of an image's border is brighter "
        "than 127.",
    )  # fmt: skip
    checkpoint: str = option(
        FINAL, group=_GROUP,
        help="final (what result.json tells of), best (of the evaluations), latest, or a step.",
    )  # fmt: skip
    batch_size: int | None = option(
        None, group=_GROUP, lower_bound=1, upper_bound=4096,
        help="Images per call of the model; unset: as in an evaluation, for its very answers.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)
        if self.plot is None:
            return
        path = Path(self.plot).expanduser()
        if path.suffix.lower() not in PLOT_SUFFIXES:
            raise ConfigError(f"--plot={self.plot}: give a name in {', '.join(PLOT_SUFFIXES)}.")
        if not path.parent.is_dir():
            raise ConfigError(f"--plot={self.plot}: there is no folder {path.parent}.")


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, PredictConfig, USAGE, _predict)


def _predict(config: PredictConfig, words: list[str]) -> None:
    if len(words) < 2:
        raise ConfigError("give a run directory, and images or folders of images; see --help.")
    folder, *names = words
    trained = TrainedRun.open(folder)
    _check_channels(trained)
    found = find_images(names)
    output = Output(config, trained, found)
    for answer in _answers(config, trained, found, output):
        output.add(answer)
    output.finish()
    if output.num_errors:
        raise DataError(
            f"{output.num_errors} of {len(found.paths)} images cannot be used; each is named above."
        )


def _check_channels(trained: TrainedRun) -> None:
    channels = trained.image_shape[2]
    if channels not in (1, 3):
        raise ConfigError(
            f"{trained.path} takes images of {channels} channels; files are read with 1 or 3."
        )


def _answers(
    config: PredictConfig, trained: TrainedRun, found: FoundImages, output: Output
) -> Iterator[Answer]:
    checkpoint = trained.checkpoint(config.checkpoint)
    output.step = checkpoint.progress.step
    if found.problems.keys() >= set(found.paths):
        return (Answer(path, error=found.problems[path]) for path in found.paths)
    from trainer import session

    session.quiet_tensorflow()
    session.import_tensorflow()
    from trainer.predict.images import ModelInput, predict_images
    from trainer.trained.model import load_model

    dataset, _ = DATASETS.load(trained.config.dataset)
    model = load_model(trained, checkpoint)
    model_input = ModelInput.of(trained, dataset.INFO, config.invert)
    return predict_images(model, model_input, found.paths, found.problems, config.batch_size)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
