"""The suites, one public file each, which defines

    TITLE                                     what it measures, in a line
    cases(choice: Choice) -> list             of BenchmarkCase, the choice's `select`ed ones

and may define NUM_REPEATS, where three of each case are not what it is made for.

No TensorFlow here: a list of cases is only data.
"""

from flowrate.catalog import Catalog

SUITES = Catalog(package=__name__, kind="suite", contract=("TITLE", "cases"))
