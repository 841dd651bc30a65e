"""Says what images show: `python -m trainer.predict runs/mine photo.jpg folder`.

A file that cannot be used is named, and the others go on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from flowrate.command import run_command
from flowrate.errors import ConfigError, DataError
from input_pipelines.datasets import DATASETS
from input_pipelines.images.paths import FoundImages, find_images
from input_pipelines.start_tensorflow import import_tensorflow, quiet_tensorflow
from trainer.predict.answer import Answer
from trainer.predict.config import PredictConfig
from trainer.predict.output import Output
from trainer.trained.run import TrainedRun

USAGE = """Says what images show, by a trained run.

    python -m trainer.predict RUN_DIR IMAGE_OR_FOLDER ... [--flag=value ...]

Of a folder, the images in it and in its folders. After a word -- all others are names."""


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
    quiet_tensorflow()
    import_tensorflow()
    from trainer.predict.images import ModelInput, predict_images
    from trainer.trained.model import load_model

    dataset, _ = DATASETS.load(trained.config.dataset)
    model = load_model(trained, checkpoint)
    model_input = ModelInput.of(trained, dataset.INFO, config.invert)
    return predict_images(model, model_input, found.paths, found.problems, config.batch_size)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
