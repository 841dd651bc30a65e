"""Image files -> what a trained model answers, batch by batch."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from flowrate.ahead import ahead
from flowrate.environment import num_cpus
from flowrate.errors import DataError, DivergedError
from input_pipelines.dataset import DatasetInfo
from input_pipelines.images.image_file import ImageReader
from input_pipelines.images.inversion import has_bright_border, inverted
from trainer.engine import blocks
from trainer.predict.answer import Answer
from trainer.trained.inference import logits_function
from trainer.trained.predictions import softmax
from trainer.trained.run import TrainedRun

# Files read while the ones before them are predicted.
_FILES_PER_CHUNK = 64
_MAX_CHUNK_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """How files become what a model takes.

    Attributes:
        reader: of the pixels.
        invert: auto, on or off.
        expects_dark: whether `auto` inverts images with a bright border.
    """

    reader: ImageReader
    invert: str
    expects_dark: bool

    @classmethod
    def of(cls, trained: TrainedRun, info: DatasetInfo, invert: str) -> ModelInput:
        """Returns how files become what the model of a run takes; `info` is of its data set."""
        height, width, _ = info.image_shape
        is_array_size = height and not info.has_image_files
        reader = ImageReader(
            trained.image_shape, info.has_image_files, (height, width) if is_array_size else None
        )
        return cls(reader, invert, info.dark_background and trained.image_shape[2] == 1)

    def read(self, path: Path, problem: str | None = None) -> Answer:
        """Returns the answer without its logits; with the `problem`, if there is one already."""
        try:
            if problem:
                raise DataError(problem)
            image = self.reader.read(path)
        except DataError as error:
            return Answer(path, error=str(error))
        if self.invert == "on" or (
            self.invert == "auto" and self.expects_dark and has_bright_border(image)
        ):
            return Answer(path, image=inverted(image), inverted=True)
        return Answer(path, image=image)


def predict_images(
    model: keras.Model,
    model_input: ModelInput,
    paths: Sequence[Path],
    problems: Mapping[Path, str],
    batch_size: int | None = None,
) -> Iterator[Answer]:
    """Yields the answer to each file, in order.

    Every batch has the same number of rows, those of files that cannot be read and those after the
    last file being black: so an answer does not depend on how many files there are.

    Args:
        model: uint8 [N, *image_shape] -> logits.
        model_input: how files are read.
        problems: of the paths that need not be opened.
        batch_size: images per call of the model; None: as in an evaluation, for its very answers.

    Raises:
        DivergedError: the model answers with what is no number.
    """
    shape = model_input.reader.image_shape
    batch_size = batch_size or blocks.evaluation_batch_size(shape, 1)
    predict = logits_function(model)
    for answers in ahead(_read_chunks(model_input, paths, problems, batch_size), 1):
        for first in range(0, len(answers), batch_size):
            batch = answers[first : first + batch_size]
            images = np.zeros((batch_size, *shape), np.uint8)
            for row, answer in enumerate(batch):
                if answer.image is not None:
                    images[row] = answer.image
            logits = predict(images).numpy()
            if not np.isfinite(logits[: len(batch)]).all():
                raise DivergedError("the model answers with what is no number; train it anew.")
            for answer, row, shares in zip(batch, logits, softmax(logits)):
                if answer.image is None:
                    yield answer
                else:
                    yield dataclasses.replace(answer, logits=row, probabilities=shares)


def _read_chunks(
    model_input: ModelInput,
    paths: Sequence[Path],
    problems: Mapping[Path, str],
    batch_size: int,
) -> Iterator[list[Answer]]:
    """Yields the files read, several batches at a time."""
    batch_bytes = batch_size * int(np.prod(model_input.reader.image_shape))
    most = min(-(-_FILES_PER_CHUNK // batch_size), _MAX_CHUNK_BYTES // batch_bytes)
    size = batch_size * max(1, most)
    with concurrent.futures.ThreadPoolExecutor(num_cpus()) as threads:
        for first in range(0, len(paths), size):
            chunk = paths[first : first + size]
            yield list(threads.map(lambda path: model_input.read(path, problems.get(path)), chunk))
