"""What the program promises to stand, a public file for each promise, which defines

    ID                                  as in docs/reliability.md: P1
    TITLE                               the promise, in a line
    attempts(full: bool, seed: int)     the attempts at breaking it: those of every change, or all

`python -m benchmarks.faults NAME` makes them. No TensorFlow here: a fault meets a real process.
"""

from flowrate.catalog import Catalog

PROMISES = Catalog(package=__name__, kind="promise", contract=("ID", "TITLE", "attempts"))
