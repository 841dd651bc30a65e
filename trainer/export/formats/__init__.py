"""The formats to export to: one public file each, found by its name; `_name.py` is machinery.

A format file imports nothing heavy at its top, since the process that checks an export imports it
beside the one runtime it needs, and defines:

    FILE           name of what is written
    QUANTIZATIONS  values of --quantize it can do
    REQUIRES       packages of the extra `export` it needs
    write(model, path, labels, quantize, images)
        writes a Keras model from `with_probabilities`; `images` are uint8 to calibrate int8 on
    load(path, threads) -> Runtime
        loads it by its own runtime, without this project's models
"""

from flowrate.catalog import Catalog

FORMATS = Catalog(
    package=__name__,
    kind="format",
    contract=("FILE", "QUANTIZATIONS", "REQUIRES", "write", "load"),
)
