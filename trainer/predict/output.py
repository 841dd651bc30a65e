"""Predictions for people and programs: lines, JSON, a picture."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.records import disk_errors, to_json, written_whole
from flowrate.text import printable
from input_pipelines.images.paths import FoundImages
from input_pipelines.progress import Progress
from trainer.predict.answer import Answer
from trainer.predict.config import PredictConfig
from trainer.trained.run import TrainedRun

_MAX_PLOTTED = 30
# Longer names push the line's other columns aside.
_MAX_NAME_WIDTH = 60


class Output:
    """Shows answers as they come, and then what cannot be used.

    Attributes:
        step: of the checkpoint, for the record.
    """

    def __init__(self, config: PredictConfig, trained: TrainedRun, found: FoundImages):
        self.step = 0
        self._config, self._trained, self._found = config, trained, found
        self._rows: list[dict[str, Any]] = []
        self._errors: list[str] = []
        self._plotted: list[Answer] = []
        self._names = _width(map(printable, found.paths))
        self._classes = _width(trained.class_names)
        self._progress: Progress | None = None

    @property
    def num_errors(self) -> int:
        """Files that cannot be used, so far."""
        return len(self._errors)

    def add(self, answer: Answer) -> None:
        """Takes the next answer."""
        row = self._row_of(answer)
        if answer.error:
            self._errors.append(f"{printable(answer.path)}: {answer.error}")
        elif self._config.plot and len(self._plotted) < _MAX_PLOTTED:
            self._plotted.append(answer)
        if self._config.json:
            self._rows.append(row)
        elif not answer.error:
            print(self._line(row))
        if self._progress is None:  # Now that the model is loaded.
            self._progress = Progress()
            self._progress.start("images", len(self._found.paths))
        self._progress.advance(1)

    def finish(self) -> None:
        """Shows the rest, and writes the picture.

        Raises:
            DiskError: it cannot be written.
        """
        if self._progress:
            self._progress.stop()
        skipped = self._found.num_skipped
        if self._config.json:
            print(to_json(self._record()), end="")
        else:
            sys.stdout.flush()
            print(*self._errors, sep="\n", end="\n" * bool(self._errors), file=sys.stderr)
        if skipped and not self._config.json:
            print(f"skipped {skipped:,} file{'s' * (skipped > 1)} without the suffix of an image")
        if self._config.plot:
            self._draw(Path(self._config.plot).expanduser())

    def _row_of(self, answer: Answer) -> dict[str, Any]:
        predictions = []
        if answer.probabilities is not None and answer.logits is not None:
            best = np.argsort(-answer.logits, kind="stable")[: self._config.top]
            predictions = [
                {
                    "class": self._trained.class_names[index],
                    "probability": float(answer.probabilities[index]),
                }
                for index in best
            ]
        return {
            "path": os.fspath(answer.path),
            "predictions": predictions,
            "inverted": answer.inverted,
            "error": answer.error,
        }

    def _record(self) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "run_dir": str(self._trained.path),
            "step": self.step,
            "images": self._rows,
            "skipped": self._found.num_skipped,
        }

    def _line(self, row: dict[str, Any]) -> str:
        parts = [f"{printable(row['path']):<{self._names}}"]
        parts += [
            f"{each['class']:<{self._classes}} {100 * each['probability']:>6.2f} %"
            for each in row["predictions"]
        ]
        return "  ".join([*parts, *(["inverted"] if row["inverted"] else [])])

    def _draw(self, path: Path) -> None:
        from flowrate.pages.drawing import drawing
        from trainer.report.answers import examples_picture

        if not self._plotted:
            print(f"{path}: nothing to draw.", file=sys.stderr)
            return
        images = [each.image for each in self._plotted if each.image is not None]
        answers = [each.probabilities for each in self._plotted]
        probabilities = [each for each in answers if each is not None]
        picture = examples_picture(
            "predictions", "", "",
            np.stack(images),
            np.stack(probabilities),
            self._trained.class_names,
            captions=[printable(answer.path.name) for answer in self._plotted],
        )  # fmt: skip
        buffer = io.BytesIO()
        with drawing(picture.name):
            picture.make().savefig(
                buffer, format=path.suffix[1:].lower(), dpi=144, facecolor="white"
            )
        with disk_errors(path), written_whole(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
        readable = len(self._found.paths) - self.num_errors
        shown = len(self._plotted)
        part = f": the first {shown} of {readable:,} images" if shown < readable else ""
        print(f"{path}{part}", file=sys.stderr if self._config.json else sys.stdout)


def _width(names: Iterable[str]) -> int:
    return min(_MAX_NAME_WIDTH, max(map(len, names), default=0))
