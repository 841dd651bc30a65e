"""Layer 1: bytes on disk -> batches. One public file per data set; `_name.py` is machinery.

A data set file defines

    INFO = DatasetInfo(...)                     what is known without reading anything
    load(options: LoadOptions) -> dict          {"train": Source, "test": Source, ...}

and imports no TensorFlow, so that a missing or damaged file is reported at once.
CONTRIBUTING.md shows one.
"""

from flowrate.catalog import Catalog

DATASETS = Catalog(package=__name__, kind="dataset", contract=("INFO", "load"), families=("tfds",))
