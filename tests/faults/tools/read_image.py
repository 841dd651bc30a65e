"""Reads an image file as training or as prediction does, and prints how much memory that took.

    python -m faults.tools.read_image train|predict WARM-UP WORST

One line of JSON: the highest resident memory while the second file was read, less that before, in
MiB, and what was said of it. The first file makes the libraries take what they keep.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from faults.tools.peak import forget_peak, peak_mebibytes, resident_mebibytes

from flowrate.errors import DataError
from input_pipelines.start_tensorflow import import_tensorflow, quiet_tensorflow

_SHAPE = (180, 180, 3)


def main(program: str, warm_up: str, worst: str) -> None:
    """Prints the line."""
    quiet_tensorflow()
    import_tensorflow()
    read = {"train": _train, "predict": _predict}[program]
    for _ in range(2):
        read(Path(warm_up))
    forget_peak()
    before = resident_mebibytes()
    said = read(Path(worst))
    print(json.dumps({"mebibytes": peak_mebibytes() - before, "said": said}))


def _train(path: Path) -> str:
    import tensorflow as tf

    from input_pipelines.images.decode import decode
    from input_pipelines.images.examine import examine
    from input_pipelines.images.headers import headers_of_any_size

    with headers_of_any_size():
        found = examine(path)
    if not found.problem:
        decode(tf.constant(str(path)), _SHAPE, found.orientation)
    return found.problem or "read"


def _predict(path: Path) -> str:
    from input_pipelines.images.image_file import ImageReader

    try:
        ImageReader(_SHAPE, is_trained_on_files=True).read(path)
        return "read"
    except DataError as error:
        return str(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
