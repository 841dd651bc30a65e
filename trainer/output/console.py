"""What the user sees while training: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flowrate.text import one_line
from trainer.run_dir.launches import describe_starts


class Console:
    """Prints lines, and on a terminal keeps a progress bar below them.

    The bar is told of every compiled call and draws itself at most ten times a second, on a thread
    of its own, so it costs the training nothing.
    """

    def __init__(self) -> None:
        # soft_wrap: a line stays one line, however narrow the terminal. Markup and emoji codes are
        # off: paths may hold any characters.
        self._rich = RichConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Prints one line; it may hold any characters."""
        console = self._bar.console if self._bar else self._rich
        console.print(one_line(line))

    def start_bar(self, step: int, total_steps: int) -> None:
        """Shows the bar, where there is a terminal."""
        if not self._rich.is_terminal:
            return
        self._bar = Progress(
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[figures]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._rich,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total_steps, completed=step, figures="")
        self._bar.start()

    def move_bar(self, step: int, loss: float, accuracy: float, examples_per_second: float) -> None:
        """Moves the bar on to `step`."""
        if self._bar and self._task is not None:
            figures = (
                f"loss {loss:.4f}  accuracy {accuracy:.1%}  {examples_per_second:,.0f} examples/s"
            )
            self._bar.update(self._task, completed=step, figures=figures)

    def stop_bar(self) -> None:
        """Takes the bar away."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def show_summary(self, result: dict[str, Any], run_dir: str) -> None:
        """Prints how the run ended, and where its records are."""
        for name, value in _summary(result, run_dir):
            self.say(f"{name:<16}{value}")


def describe_logged_steps(row: dict[str, Any], total_steps: int) -> str:
    """Returns the plain line for a `train` row of metrics.jsonl."""
    speed = row["steps_per_second"]
    rates = f"  {row['examples_per_second']:,.0f} examples/s  {speed:,.1f} steps/s" if speed else ""
    return (
        f"step {row['step']:,}/{total_steps:,}  epoch {row['epoch']:.2f}  "
        f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}{rates}"
    )


def describe_evaluation(row: dict[str, Any], total_steps: int) -> str:
    """Returns the plain line for an `evaluation` row of metrics.jsonl."""
    return (
        f"step {row['step']:,}/{total_steps:,}  epoch {row['epoch']:.2f}  "
        f"{row['split']} accuracy {row['accuracy']:.2%}  loss {row['loss']:.4f}"
    )


def _summary(result: dict[str, Any], run_dir: str) -> list[tuple[str, str]]:
    def rate(name: str) -> str:
        value = result[name]
        return f"{value:,.1f}" if value else "not measured"

    rows = [
        ("test accuracy", f"{result['test_accuracy']:.4f} ({result['test_examples']:,} examples)"),
        ("test loss", f"{result['test_loss']:.4f}"),
    ]
    if result["train_accuracy"] is not None:
        rows.append(("train accuracy", f"{result['train_accuracy']:.4f} (last epoch, as it went)"))
    if result.get("train_accuracy_evaluated") is not None:
        shown = f"{result['train_accuracy_evaluated']:.4f} (final weights, evaluated on "
        rows.append(("train accuracy", f"{shown}{result['train_examples_evaluated']:,} examples)"))
    rows += [("warning", line) for line in result.get("warnings", ())]
    if result.get("skipped_images"):
        rows.append(("skipped images", f"{result['skipped_images']:,} that cannot be used"))
    rows.append(
        ("steps/s", f"{rate('steps_per_second')} ({rate('examples_per_second')} examples/s, "
                    f"replicas: {result['num_replicas']})")
    )  # fmt: skip
    if starts := describe_starts(result):
        rows.append(("starts", starts))
    if Path(run_dir, "report.html").exists():
        rows.append(("report", f"{run_dir}/report.html"))
    rows += [
        ("result", f"{run_dir}/result.json"),
        ("model", f"{run_dir}/model.keras"),
        ("TensorBoard", f"tensorboard --logdir {run_dir}/tensorboard"),
    ]
    return rows
