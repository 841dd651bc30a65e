"""What TensorBoard reads back from a run: each curve whole, each step once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowrate.records import read_json, read_json_lines

ROOT = Path(__file__).resolve().parents[3]
SCALARS = {
    "train": {"loss", "accuracy", "learning_rate", "gradient_norm", "steps_per_second",
              "examples_per_second"},
    "test": {"loss", "accuracy"},
}  # fmt: skip
FLAGS = (
    "--model=mlp16", "--steps=60", "--log_every_steps=10", "--evaluate_every_steps=20",
    "--checkpoint_every_steps=20", "--schedule=cosine", "--augmentation=translation",
    "--run_dir=run",
)  # fmt: skip


def events(folder: Path):
    """Reads the event files of one run as TensorBoard's server does, however many there are."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def values(folder: Path, tag: str) -> list[tuple[int, float]]:
    import tensorflow as tf

    return [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events(folder).Tensors(tag)]


def rows(run_dir: Path, kind: str) -> list[dict]:
    return [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == kind]


@pytest.fixture(scope="module")
def board_run(tmp_path_factory) -> Path:
    """The run directory of a finished run of the command itself."""
    folder = tmp_path_factory.mktemp("board")
    done = run_main(folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def run_main(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "trainer.main", *FLAGS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_scalars_through_the_loop(train):
    run_dir = train(model="mlp16", steps=40, log_every_steps=10).run_dir.path
    found = rows(run_dir, "train")
    for tag in ("loss", "accuracy", "learning_rate", "gradient_norm"):
        expected = [(row["step"], pytest.approx(row[tag])) for row in found]
        assert values(run_dir / "tensorboard" / "train", tag) == expected


def test_every_scalar_is_that_of_the_metrics(tf, board_run):
    for split, tags in SCALARS.items():
        kind = "train" if split == "train" else "evaluation"
        for tag in tags:
            expected = [
                (row["step"], pytest.approx(row[tag]))
                for row in rows(board_run, kind)
                if row[tag] is not None
            ]
            assert values(board_run / "tensorboard" / split, tag) == expected, tag
            assert len(expected) >= 3


def test_there_are_no_other_curves(board_run):
    runs = {path.name for path in (board_run / "tensorboard").iterdir()}
    assert runs == SCALARS.keys()
    for split, tags in SCALARS.items():
        found = events(board_run / "tensorboard" / split)
        by_plugin = {
            tag
            for tag in found.Tags()["tensors"]
            if found.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
        }
        assert by_plugin == tags


def test_sample_images_are_those_the_model_gets(tf, board_run):
    (event,) = events(board_run / "tensorboard" / "train").Tensors("examples")
    width, height, *images = tf.make_ndarray(event.tensor_proto)
    assert (int(width), int(height), len(images)) == (8, 8, 16)
    for image in images:
        decoded = tf.io.decode_png(image).numpy()
        assert decoded.shape == (8, 8, 1)
        assert decoded.max() > 100  # a digit, not an empty square


def test_the_config_stands_there_as_text(tf, board_run):
    (event,) = events(board_run / "tensorboard" / "train").Tensors("config")
    text = tf.make_ndarray(event.tensor_proto).item().decode()
    assert json.loads(text.removeprefix("```\n").removesuffix("\n```")) == read_json(
        board_run / "config.json"
    )


def test_the_graph_is_there(board_run):
    graph = events(board_run / "tensorboard" / "train").Graph()
    assert "logits" in " ".join(node.name for node in graph.node)


def test_hyperparameters_are_there(board_run):
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    found = events(board_run / "tensorboard" / "train")
    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    plugin_data = plugin_data_pb2.HParamsPluginData.FromString(content)
    hparams = plugin_data.session_start_info.hparams
    config = {k: v for k, v in read_json(board_run / "config.json").items() if v is not None}
    assert hparams.keys() == config.keys()
    assert hparams["model"].string_value == "mlp16"
    assert hparams["steps"].number_value == 60
    assert hparams["learning_rate"].number_value == config["learning_rate"]


@pytest.mark.slow
def test_after_a_resume_no_step_appears_twice(tf, board_run, tmp_path):
    """A run that lost its last checkpoint trains those steps again: the later figures count."""
    shutil.copytree(board_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "ckpt-00000060")
    (tmp_path / "run" / "result.json").unlink()
    done = run_main(tmp_path)
    assert "resumed from step 40 (checkpoint of " in done.stdout, done.stderr
    board = tmp_path / "run" / "tensorboard"
    for tag in ("loss", "accuracy", "gradient_norm", "learning_rate"):
        assert [step for step, _ in values(board / "train", tag)] == [10, 20, 30, 40, 50, 60]
    assert [step for step, _ in values(board / "test", "loss")] == [20, 40, 60]
    again = {row["step"]: row["steps_per_second"] for row in rows(tmp_path / "run", "train")}
    found = dict(values(board / "train", "steps_per_second"))
    assert {step: found[step] for step in (50, 60)} == {
        step: pytest.approx(again[step]) for step in (50, 60)
    }


def test_images_that_cannot_be_shown_are_left_out(tf, tmp_path):
    from trainer.output.tensorboard import TensorBoardWriter

    writer = TensorBoardWriter(tmp_path, step=0)
    writer.images(np.zeros((2, 4, 4, 7), np.uint8), 0)
    writer.scalars("train", {"step": 3, "loss": 0.5, "accuracy": None})
    writer.flush()
    assert events(tmp_path / "train").Tags()["tensors"] == ["loss"]
    assert values(tmp_path / "train", "loss") == [(3, 0.5)]
