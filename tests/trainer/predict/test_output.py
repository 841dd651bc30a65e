"""Answers as lines, tables and pictures; no model is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowrate.errors import DiskError
from input_pipelines.images.paths import FoundImages
from trainer.predict.answer import Answer
from trainer.predict.config import PredictConfig
from trainer.predict.output import Output
from trainer.trained.predictions import softmax

NAMES = ("daisy", "a class with a long name that goes on", "[bold]roses")


class Run:
    path = Path("run")
    class_names = NAMES


def answer(name: str, *logits: float, channels: int = 3, **facts) -> Answer:
    row = np.array(logits, np.float32)
    image = np.full((20, 30, channels), 90, np.uint8)
    return Answer(Path(name), image, row, softmax(row[None])[0], **facts)


def show(answers: list[Answer], num_skipped: int = 0, **flags) -> Output:
    paths = tuple(each.path for each in answers)
    output = Output(PredictConfig(**flags), Run(), FoundImages(paths, {}, num_skipped))
    for each in answers:
        output.add(each)
    output.finish()
    return output


def test_odd_names_break_no_line(capsys):
    show([answer("a\nb.png", 1, 2, 3), answer("\udcff.png", 1, 2, 3)])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "a\\nb.png", "\\xff.png",
    ]  # fmt: skip


def test_lines_stand_below_each_other(capsys):
    show([answer("a.jpg", 5, 0, 0), answer("longer.jpg", 0, 0, 3, inverted=True)], top=2)
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg       daisy                                  98.67 %  "
        "a class with a long name that goes on   0.66 %",
        "longer.jpg  [bold]roses                            90.94 %  "
        "daisy                                   4.53 %  inverted",
    ]


@pytest.mark.parametrize("num_skipped", [0, 1, 1234])
def test_how_many_files_were_skipped(capsys, num_skipped):
    show([answer("a.jpg", 1, 2, 3)], num_skipped)
    last = capsys.readouterr().out.splitlines()[-1]
    expected = {
        1: "skipped 1 file without the suffix of an image",
        1234: "skipped 1,234 files without the suffix of an image",
    }
    assert last == expected.get(num_skipped, last)
    assert ("skipped" in last) == bool(num_skipped)


@pytest.mark.parametrize(
    ("suffix", "channels"), [("png", 1), ("svg", 3), ("svg", 1), ("pdf", 3), ("PNG", 3)]
)
def test_plots_of_every_kind(capsys, tmp_path, suffix, channels):
    plot = tmp_path / f"plot.{suffix}"
    answers = [answer(f"$x_{number}$.jpg", 1, 2, 3, channels=channels) for number in range(3)]
    show(answers, plot=str(plot))
    assert capsys.readouterr().out.splitlines()[-1] == str(plot)
    content = plot.read_bytes()
    if suffix == "svg":
        assert b"$x_1$.jpg" in content
        assert b"[bold]roses 66" in content
    elif suffix == "pdf":
        assert content.startswith(b"%PDF")
    else:
        with Image.open(plot) as image:
            assert image.format == "PNG"
            assert image.width > image.height > 100


def test_a_plot_that_cannot_be_written(tmp_path):
    (tmp_path / "plot.svg").mkdir()
    with pytest.raises(DiskError, match=r"cannot write .*plot\.svg"):
        show([answer("a.jpg", 1, 2, 3)], plot=str(tmp_path / "plot.svg"))
