"""What a process that imports TensorFlow says of it: its build and its devices.

Run by itself (`python -m trainer.doctor.tensorflow_child`) it prints that as one line of JSON, so
that a TensorFlow that ends its process, or hangs, does not take the doctor with it.
"""

from __future__ import annotations

import functools
import json
import time
from typing import Any

from trainer.doctor import children

# A cold disk and two busy cores: a minute has been seen.
_IMPORT_SECONDS = 240


@functools.cache
def facts() -> tuple[dict[str, Any] | None, children.Ended]:
    """Returns what the process said, None where it failed, and the process; asked once."""
    return children.ask([__name__], timeout_seconds=_IMPORT_SECONDS)


def main() -> None:
    """Prints the facts."""
    started = time.perf_counter()
    from flowrate.lean_imports import without_optional_packages

    with without_optional_packages():
        import tensorflow as tf
    seconds = time.perf_counter() - started
    build = tf.sysconfig.get_build_info()
    found = {
        "version": tf.__version__,
        "import_seconds": round(seconds, 3),
        "is_cuda_build": bool(build.get("is_cuda_build")),
        "cuda_version": str(build.get("cuda_version", "")) or None,
        "cudnn_version": str(build.get("cudnn_version", "")) or None,
        "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
