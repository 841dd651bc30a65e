"""Reads an image file as training or as prediction does, and prints how much memory that took.

    python -m benchmarks.faults._decode_child train|predict WARM-UP WORST

One line of JSON: the highest resident memory while the second file was read, less that before, in
MiB, and what was said of it. The first file makes the libraries take what they keep.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flowrate.errors import DataError
from input_pipelines._tensorflow import import_tensorflow, quiet_tensorflow

_SHAPE = (180, 180, 3)


def main(program: str, warm_up: str, worst: str) -> None:
    """Prints the line."""
    quiet_tensorflow()
    import_tensorflow()
    read = {"train": _train, "predict": _predict}[program]
    for _ in range(2):
        read(Path(warm_up))
    _forget_peak()
    before = _status_kib("VmRSS")
    said = read(Path(worst))
    print(json.dumps({"mebibytes": (_status_kib("VmHWM") - before) / 1024, "said": said}))


def _train(path: Path) -> str:
    import tensorflow as tf

    from input_pipelines._decode import decode
    from input_pipelines._examine import examine
    from input_pipelines._headers import headers_of_any_size

    with headers_of_any_size():
        found = examine(path)
    if not found.problem:
        decode(tf.constant(str(path)), _SHAPE, found.orientation)
    return found.problem or "read"


def _predict(path: Path) -> str:
    from input_pipelines._image_file import ImageReader

    try:
        ImageReader(_SHAPE, is_trained_on_files=True).read(path)
        return "read"
    except DataError as error:
        return str(error)


def _forget_peak() -> None:
    """Lets the system count the highest memory anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
