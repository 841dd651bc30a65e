"""What the terminal shows."""

from __future__ import annotations

from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowrate.text import printable
from input_pipelines.inspect.facts import (
    describe_data,
    describe_files,
    describe_pixels,
    describe_speed,
)
from input_pipelines.inspect.findings import findings, headline
from input_pipelines.inspect.inspection import Inspection

# The page and the record have the rest.
_MAX_CLASSES, _MAX_NAMES = 50, 20


def show(inspection: Inspection, page: Path, record: Path) -> None:
    """Prints the findings."""
    # No markup: names may hold any characters.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(headline(inspection))
    for sentence in findings(inspection):
        console.print(f"! {sentence}")
    console.print(_class_table(inspection), soft_wrap=False)
    if (more := len(inspection.counts.class_names) - _MAX_CLASSES) > 0:
        console.print(f"and {more:,} more classes")
    for name, value in (
        *describe_data(inspection)[1:],
        *describe_files(inspection),
        *describe_pixels(inspection),
        *describe_speed(inspection),
    ):
        console.print(f"{name:<20}{value}")
    _show_failures(inspection, console)
    _show_duplicates(inspection, console)
    console.print(f"{'page':<20}{printable(page)}")
    console.print(f"{'record':<20}{printable(record)}")


def _class_table(inspection: Inspection) -> Table:
    counts = inspection.counts
    table = Table(box=rich.box.SIMPLE_HEAD, show_footer=True)
    table.add_column("class", footer="all")
    for split in counts.by_split:
        table.add_column(split, justify="right", footer=f"{counts.examples(split):,}")
        share = counts.examples(split) / counts.total
        table.add_column("share", justify="right", footer=f"{share:.1%}")
    shares = {split: counts.shares(split) for split in counts.by_split}
    for label, name in enumerate(counts.class_names[:_MAX_CLASSES]):
        cells = [
            text
            for split, of_class in counts.by_split.items()
            for text in (f"{of_class[label]:,}", f"{shares[split][label]:.1%}")
        ]
        table.add_row(Text(printable(name)), *cells)
    return table


def _show_failures(inspection: Inspection, console: Console) -> None:
    if not inspection.failures:
        return
    console.print("\nfiles that cannot be used")
    for example, failure in list(inspection.failures.items())[:_MAX_NAMES]:
        console.print(f"  {inspection.naming.short(example)}: {failure.reason}")
    if (more := len(inspection.failures) - _MAX_NAMES) > 0:
        console.print(f"  and {more:,} more: see the record")
    console.print()


def _show_duplicates(inspection: Inspection, console: Console) -> None:
    if not inspection.duplicates:
        return
    naming = inspection.naming
    console.print("\nexact duplicates")
    for group in inspection.duplicates[:_MAX_NAMES]:
        marks = " (different labels)" if group.different_labels else ""
        marks += " (in more than one split)" if group.across_splits else ""
        names = [
            f"{naming.short(each)} [{each.split}, {printable(naming.class_name(each))}]"
            for each in group.examples[:4]
        ]
        more = f" and {len(group.examples) - 4:,} more" if len(group.examples) > 4 else ""
        console.print(f"  {' = '.join(names)}{more}{marks}")
    if (more := len(inspection.duplicates) - _MAX_NAMES) > 0:
        console.print(f"  and {more:,} more: see the record")
    console.print()
