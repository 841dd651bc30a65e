"""The run for TensorBoard: scalars, sample images, the graph, hyperparameters and the config."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from trainer.config import TrainConfig

_SCALARS = (
    "loss", "accuracy", "learning_rate", "gradient_norm", "steps_per_second",
    "examples_per_second",
)  # fmt: skip


class TensorBoardWriter:
    """Writes into `folder/train` and a folder for each evaluated split.

    Scalars are written by a thread: at 0.4 ms a row they would cost a model whose steps take
    0.15 ms 3 % of its speed.

    Args:
        folder: the run's tensorboard folder.
        step: where this process starts; what an earlier one wrote beyond is struck out.
    """

    def __init__(self, folder: Path, step: int):
        self._folder = folder
        self._step = step
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="tensorboard")
        self._pending: list[concurrent.futures.Future] = []

    def describe(
        self, config: TrainConfig, model: keras.Model, image_shape: tuple[int, int, int]
    ) -> None:
        """Writes the config as text, the hyperparameters and the model's graph."""
        with self._writer("train").as_default(step=0):
            tf.summary.text("config", f"```\n{json.dumps(config.to_json(), indent=2)}\n```")
            hparams.hparams(
                {name: value for name, value in config.to_json().items() if value is not None}
            )
            predict = tf.function(lambda images: model(images, training=False), autograph=False)
            spec = tf.TensorSpec([None, *image_shape], tf.uint8)
            tf.summary.graph(predict.get_concrete_function(spec).graph)

    def images(self, images: np.ndarray, step: int) -> None:
        """Writes sample images: uint8 [N, height, width, 1 or 3], as the model gets them."""
        if images.shape[-1] in (1, 3, 4):
            with self._writer("train").as_default(step=step):
                tf.summary.image("examples", images, max_outputs=len(images))

    def pictures(self, pictures: Mapping[str, bytes], step: int) -> None:
        """Writes pictures of the report, PNGs by name, for the test split."""
        values = [
            summary_pb2.Summary.Value(
                tag=name, image=summary_pb2.Summary.Image(encoded_image_string=png)
            )
            for name, png in pictures.items()
        ]
        summary = summary_pb2.Summary(value=values).SerializeToString()
        with self._writer("test").as_default(step=step):
            tf.summary.experimental.write_raw_pb(summary, step=step)
        self.flush()

    def scalars(self, run: str, *rows: dict[str, Any]) -> None:
        """Writes the figures of metrics rows under `run`: train, validation or test."""
        writer = self._writer(run)
        self._pending.append(self._thread.submit(_write_scalars, writer, rows))

    def flush(self) -> None:
        """Brings to the files what was written.

        Raises:
            tf.errors.OpError: what went wrong in writing, now or since the last time.
        """
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()
        for writer in self._writers.values():
            writer.flush()

    def go_back(self, step: int) -> None:
        """Strikes out what was written beyond `step`."""
        self.flush()
        self._step = step
        self._writers = {}

    def _writer(self, run: str) -> tf.summary.SummaryWriter:
        if run not in self._writers:
            # The first time too: TensorBoard takes the first start it meets for the beginning.
            _strike_out_from(self._folder / run, self._step + 1)
            self._writers[run] = tf.summary.create_file_writer(str(self._folder / run))
        return self._writers[run]


def _write_scalars(writer: tf.summary.SummaryWriter, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        values = [
            summary_pb2.Summary.Value(tag=name, simple_value=row[name])
            for name in _SCALARS
            if row.get(name) is not None
        ]
        # One record for all: tf.summary.scalar takes ten times as long for each.
        summary = summary_pb2.Summary(value=values).SerializeToString()
        with writer.as_default(step=row["step"]):
            tf.summary.experimental.write_raw_pb(summary, step=row["step"])


def _strike_out_from(folder: Path, step: int) -> None:
    """Tells TensorBoard that the run starts anew at `step`: it drops what lies at or beyond it."""
    writer = EventFileWriter(str(folder))
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    writer.add_event(event_pb2.Event(step=step, session_log=start))
    writer.close()
