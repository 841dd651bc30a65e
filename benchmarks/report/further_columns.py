"""The columns that one suite alone has; shown where they were measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.cells import metric_cell
from benchmarks.report.columns import CASE, MARKS, NUM_REPEATS, Column, primary_column
from benchmarks.report.entry import Entry

# Suites whose figures are not rates: they have no columns but their own.
_ALONE = ("equality", "collectives")
# Metric, header, unit, what the metric is times to be in that unit, and what it means.
_EXCHANGE = (
    (
        "exchange_share",
        "In the exchange",
        "% of a step",
        100.0,
        "From the chief's gradients being ready to the sum over all workers, measured in the "
        "steps themselves: collectives, and the wait for a slower worker.",
    ),
    ("exchange_ms", "Exchange", "ms a step", 1.0, "That share, in time."),
    (
        "all_reduce_ms",
        "Bare all-reduce",
        "ms",
        1.0,
        "The sum of a step's tensors alone, measured by the same processes right after; median.",
    ),
    (
        "gradient_bytes_per_step",
        "Gradients",
        "MB a step",
        1e-6,
        "Bytes of the gradients that each worker brings to a step.",
    ),
)
_FURTHER = {
    "scaling": _EXCHANGE,
    "exchange": _EXCHANGE,
    "equality": (
        (
            "differing_examples", "Examples", "that differ", 1.0,
            "Places of a batch, over all steps, where a replica was given another example than one "
            "process has there; by digests of what the compiled step is given.",
        ),
        (
            "largest_loss_difference", "Loss", "largest difference", 1.0,
            "Of any step's loss; 0.00001 is allowed.",
        ),
        (
            "largest_weight_difference", "Weights", "largest difference", 1.0,
            "Of any weight at the end; 0.00001 is allowed.",
        ),
        (
            "largest_optimizer_difference", "Optimizer", "largest difference", 1.0,
            "Of any value of the optimizer's state at the end; 0.00001 is allowed.",
        ),
        (
            "differing_predictions", "Predictions", "that differ", 1.0,
            "Test examples to which the saved models give different classes; 0: the confusion "
            "matrices are the same.",
        ),
        (
            "miscounted_predictions", "Miscounted", "predictions", 1.0,
            "Right answers on the test split as the run's own replicas counted them, less those of "
            "one process with the saved model.",
        ),
    ),
}  # fmt: skip


def further_columns(suite: str, entries: Sequence[Entry]) -> list[Column]:
    """Returns a suite's own columns; those of collectives are by the sizes that were measured."""
    rows = _FURTHER.get(suite, ())
    if suite == "collectives":
        metrics = dict.fromkeys(
            name
            for entry in entries
            for row in entry.good_rows
            for name in row["metrics"]
            if name.startswith("all_reduce_") and not name.endswith("_range_ms")
        )
        rows = [(name, _size_of(name), "ms", 1.0, _OF_SIZE) for name in metrics]
    return [
        Column(header, unit, explanation, metric_cell(metric, scale, with_interval=False))
        for metric, header, unit, scale, explanation in rows
    ]


def only_columns(suite: str, entries: Sequence[Entry]) -> list[Column] | None:
    """Returns all columns of a suite that has none but its own; None for the others."""
    if suite not in _ALONE:
        return None
    return [CASE, primary_column(suite), NUM_REPEATS, MARKS, *further_columns(suite, entries)]


_OF_SIZE = "Median time of an all-reduce of a message of this size."


def _size_of(metric: str) -> str:
    return metric.removeprefix("all_reduce_").removesuffix("_ms")
