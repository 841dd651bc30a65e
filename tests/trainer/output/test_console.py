"""What the user sees: plain lines, a bar on a terminal, a summary at the end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from trainer.output.console import Console, describe_evaluation, describe_logged_steps

ROOT = Path(__file__).resolve().parents[3]
ROW = {
    "step": 1200, "epoch": 2.345, "loss": 0.12345, "accuracy": 0.98765,
    "steps_per_second": 1234.56, "examples_per_second": 39505.9,
}  # fmt: skip
RESULT = {
    "test_accuracy": 0.98714, "test_examples": 10_000, "test_loss": 0.04321,
    "train_accuracy": 0.99126, "steps_per_second": 1234.56, "examples_per_second": 39505.9,
    "num_replicas": 2,
}  # fmt: skip
# What rich, or a shell, might take for something else.
ODD_NAMES = ["run [bold]x[/bold]", "run [/x]", "[link=x]", "run :smile: x", "\\[1]", "grün 花"]


def test_the_line_of_logged_steps():
    assert describe_logged_steps(ROW, 12_000) == (
        "step 1,200/12,000  epoch 2.35  loss 0.1235  accuracy 98.77%  "
        "39,506 examples/s  1,234.6 steps/s"
    )


def test_a_speed_that_was_not_measured_is_left_out():
    row = ROW | {"steps_per_second": None, "examples_per_second": None}
    expected = "step 1,200/12,000  epoch 2.35  loss 0.1235  accuracy 98.77%"
    assert describe_logged_steps(row, 12_000) == expected


def test_the_line_of_an_evaluation():
    row = {"step": 7, "epoch": 0.5, "split": "validation", "accuracy": 1.0, "loss": 12.5}
    expected = "step 7/20  epoch 0.50  validation accuracy 100.00%  loss 12.5000"
    assert describe_evaluation(row, 20) == expected


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_line_comes_out_as_it_went_in(capsys, name):
    Console().say(f"{name} 3.14 'quoted' https://example.org {'long ' * 40}end")
    expected = f"{name} 3.14 'quoted' https://example.org {'long ' * 40}end\n"
    assert capsys.readouterr().out == expected


def test_no_bar_where_there_is_no_terminal(capsys):
    console = Console()
    console.start_bar(0, 100)
    console.move_bar(50, 1.0, 0.5, 100.0)
    console.say("half of it")
    console.stop_bar()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("half of it\n", "")


def test_the_summary(capsys):
    Console().show_summary(RESULT, "/runs/one")
    lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["test accuracy", "0.9871 (10,000 examples)"],
        ["test loss", "0.0432"],
        ["train accuracy", "0.9913 (last epoch, as it went)"],
        ["steps/s", "1,234.6 (39,505.9 examples/s, replicas: 2)"],
        ["result", "/runs/one/result.json"],
        ["model", "/runs/one/model.keras"],
        ["TensorBoard", "tensorboard --logdir /runs/one/tensorboard"],
    ]


def test_the_summary_names_what_its_figures_warn_of(capsys):
    seen = {"train_accuracy_evaluated": 0.5, "train_examples_evaluated": 2000}
    Console().show_summary(RESULT | seen | {"warnings": ["One thing.", "Another."]}, "/runs/one")
    lines = capsys.readouterr().out.splitlines()
    assert "train accuracy  0.5000 (final weights, evaluated on 2,000 examples)" in lines
    assert lines[4:6] == ["warning         One thing.", "warning         Another."]


def test_the_summary_of_a_run_too_short_to_measure(capsys):
    missing = {"steps_per_second": None, "examples_per_second": None, "train_accuracy": None}
    Console().show_summary(RESULT | missing, "/runs/one")
    output = capsys.readouterr().out
    assert "not measured (not measured examples/s, replicas: 2)" in output
    assert "train accuracy" not in output


@pytest.mark.parametrize("name", [*ODD_NAMES, "deep/" * 60])
def test_the_summary_shows_paths_whole(capsys, monkeypatch, name):
    """To be copied: not cut, not broken into lines, however narrow the window."""
    monkeypatch.setenv("COLUMNS", "40")
    Console().show_summary(RESULT, f"/{name}")
    output = capsys.readouterr().out
    assert f"/{name}/result.json\n" in output
    assert f"tensorboard --logdir /{name}/tensorboard\n" in output


PROGRAM = """
from trainer.output.console import Console
console = Console()
console.start_bar(5, 1000)
console.move_bar(250, 0.54321, 0.875, 12345.6)
console.say("a line [bold]above[/bold] the bar")
console.stop_bar()
console.stop_bar()
console.say("the end")
"""


def test_on_a_terminal_a_bar_moves_below_the_lines(show_on_terminal):
    shown = show_on_terminal([sys.executable, "-c", PROGRAM])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "step 250/1,000" in text
    assert "loss 0.5432  accuracy 87.5%  12,346 examples/s" in text
    assert "ETA" in text
    assert "a line [bold]above[/bold] the bar\r\n" in text
    # The bar is gone at the end.
    assert text.split("step ")[-1].rstrip().endswith("the end")
