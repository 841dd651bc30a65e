"""The columns of the tables, each written once for HTML, Markdown and the explanations below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.records import PRIMARY_METRIC
from benchmarks.report import cells
from benchmarks.report.cells import Cell, metric_cell
from benchmarks.report.entry import OURS, Entry


@dataclass(frozen=True)
class Column:
    """A column: its header with the unit, how its cells are made and what they mean.

    Attributes:
        is_text: it is set to the left, not to the right as figures are.
        is_sentence: its text is long, and broken into lines.
        always: it is kept in a table even where no row has a value.
    """

    header: str
    unit: str
    explanation: str
    make: Callable[[Entry], Cell]
    is_text: bool = False
    is_sentence: bool = False
    always: bool = False


# What each suite is judged by, in words.
PRIMARY_HEADER = {
    "steps_per_second": ("Rate", "steps/s"),
    "images_per_second": ("Rate", "images/s"),
    "seconds_to_target": ("Time to target", "s"),
    "first_step_seconds": ("First step", "s"),
    "agreeing_decimals": ("Agreement", "decimals of the weights"),
    "bus_gigabytes_per_second": ("Bandwidth", "GB/s"),
    "attempts_kept": ("Kept", "attempts"),
}

CASE = Column(
    "Case", "", "What was run: data set, model and what else tells it from other cases.",
    lambda entry: Cell(entry.case, sort=entry.case), is_text=True, always=True,
)  # fmt: skip
CONTENDER = Column(
    "Contender", "", f"Who ran it: {OURS} is this project, the others what one would use instead.",
    lambda entry: Cell(entry.contender, sort=entry.contender), is_text=True, always=True,
)  # fmt: skip
NUM_REPEATS = Column(
    "n", "", "Repeats that gave figures, each a fresh process; where some did not, of how many.",
    cells.n_cell, always=True,
)  # fmt: skip
RATIO = Column(
    f"{OURS.capitalize()} ÷ this", "times as fast",
    f"How many times as fast {OURS} is: above 1 it is ahead. Ratio of the geometric means over the "
    "repeats, with Welch's 95 % interval of the logarithms. An interval that holds 1 tells no "
    "difference.",
    cells.ratio_cell,
)  # fmt: skip
MARKS = Column(
    "Marks", "",
    "Repeats that failed, ran out of memory, were skipped or ran on a noisy machine; the reasons "
    "are below the table. Noisy repeats are counted in.",
    cells.marks_cell, is_text=True, always=True,
)  # fmt: skip


VERDICT = Column(
    "Verdict", "bound by, flag that helps",
    "What holds it back (compute, input, host or collective), the flag to try, and why.",
    cells.verdict_cell, is_text=True, is_sentence=True,
)  # fmt: skip

# Metric, header, unit, what the metric is times to be in that unit, and what it means.
_INSIDE = (
    ("images_per_second", "Images", "images/s", 1.0, "Images per second, all replicas."),
    ("step_p50_ms", "Step p50", "ms", 1.0, "Half of the steps took no longer."),
    ("step_p90_ms", "Step p90", "ms", 1.0, "90 % of the steps took no longer."),
    ("step_p99_ms", "Step p99", "ms", 1.0, "99 % of the steps took no longer."),
    ("epoch_seconds", "Epoch", "s", 1.0, "Time of one epoch of training."),
    ("import_seconds", "Import", "s", 1.0, "From process start until all is imported."),
    ("first_step_seconds", "First step", "s", 1.0, "From process start to the first step."),
    (
        "input_images_per_second", "Input only", "images/s", 1.0,
        "How fast the input alone delivers images.",
    ),
    (
        "flops_per_second", "Computed", "GFLOP/s", 1e-9,
        "Floating-point operations of a step by TensorFlow's cost analysis, times the rate.",
    ),
    (
        "peak_share", "Of peak", "%", 100.0,
        "Share of the rate that a large matrix product reaches on this machine (measured).",
    ),
    ("peak_memory_bytes", "Peak memory", "MiB", 2.0**-20, "Most memory the process held."),
    (
        "images_per_cpu_second", "Per CPU second", "images", 1.0,
        "Images for each second of CPU time, over all cores.",
    ),
)  # fmt: skip


def primary_column(suite: str) -> Column:
    """Returns the column of the figure the suite is judged by."""
    metric = PRIMARY_METRIC[suite]
    header, unit = PRIMARY_HEADER[metric]
    return Column(
        header, unit, "Median over the repeats; below it the bootstrap 95 % interval (percentile).",
        metric_cell(metric), always=True,
    )  # fmt: skip


def outcome_columns(suite: str) -> list[Column]:
    """Returns the columns of a suite's first table: who is how fast, how near its limit."""
    return [
        CASE,
        CONTENDER,
        primary_column(suite),
        RATIO,
        NUM_REPEATS,
        MARKS,
        Column(
            "Reached", "runs",
            "In how many runs the target accuracy was reached; the time is that of those runs.",
            cells.target_cell,
        ),
        Column(
            "Limit", "steps/s",
            "The bare compiled step on data that lie on the device, measured in the same process "
            "before and after.",
            metric_cell("limit_steps_per_second", with_interval=False),
        ),
        Column(
            "Efficiency", "of the limit",
            "Rate over the lower of the limit and the input-only rate; 1 means nothing is lost.",
            metric_cell("efficiency"),
        ),
        Column(
            "Test accuracy", "mean ± deviation",
            "Mean and standard deviation over the seeds, on the whole test split.",
            cells.accuracy_cell,
        ),
        Column(
            "Wall time", "s", "Of the whole process, start to end: from imports to the last file.",
            metric_cell("wall_seconds"),
        ),
    ]  # fmt: skip


def inside_columns(suite: str) -> list[Column]:
    """Returns the columns of a suite's second table: what a step costs and what bounds it."""
    figures = [
        Column(header, unit, explanation, metric_cell(metric, scale, with_interval=False))
        for metric, header, unit, scale, explanation in _INSIDE
        if metric != PRIMARY_METRIC[suite]
    ]
    return [CASE, CONTENDER, *figures, VERDICT]


def measured(
    columns: Sequence[Column], entries: Sequence[Entry]
) -> tuple[list[Column], list[Column]]:
    """Returns the columns that have a value in some row, and those that have none."""
    shown = [
        column
        for column in columns
        if column.always or any(not column.make(entry).is_empty for entry in entries)
    ]
    return shown, [column for column in columns if column not in shown]
