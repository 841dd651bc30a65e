"""The suites: a new one is one public file here, and nothing else.

It defines

    TITLE                                     what it measures, in a line
    METRIC: Metric                            the figure that a case is judged by
    COLUMNS: tuple[Metric, ...]               what is shown beside it, where it was measured
    cases(choice: Choice) -> list             of BenchmarkCase, the choice's `select`ed ones

and may define, for its part of the report, where an entry is all repeats of a case
(benchmarks/report/entry.py),

    RATIO: Metric, ratios(entries)            in place of the ratio to other contenders: by entry
    outcome(entries, ratios) -> list          sentences of its own
    group(entry) -> str                       whose bars stand in one picture
    mark(entry, entries) -> float | None      the line across a bar, explained by MARK

No TensorFlow here: a list of cases is only data.
"""

from flowrate.catalog import Catalog

SUITES = Catalog(package=__name__, kind="suite", contract=("TITLE", "METRIC", "COLUMNS", "cases"))
