"""What the suite equality found, in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import formats
from benchmarks.report.entry import Entry

_DIFFERENCES = {"a loss": "largest_loss_difference", "a weight": "largest_weight_difference"}


def layout_outcome(entries: Sequence[Entry]) -> list[str]:
    """Returns whether every layout trained as one process with one replica does."""
    rows = [row for entry in entries for row in entry.rows]
    bad = list(dict.fromkeys(row["case"] for row in rows if row["status"] == "failed"))
    sentences = [f"Not shown to be the same training: {', '.join(bad)}."] if bad else []
    good = [row["metrics"] for row in rows if row["status"] == "ok"]
    if good:
        largest = ", ".join(
            f"of {what} {formats.number(max(metrics[name] for metrics in good))}"
            for what, name in _DIFFERENCES.items()
        )
        num_layouts = sum(bool(entry.good_rows) for entry in entries)
        sentences.append(
            f"{formats.count_of(num_layouts, 'layout')} trained as one process with one replica "
            f"does: every example in its place, no prediction another; the largest difference "
            f"{largest}."
        )
    return sentences
