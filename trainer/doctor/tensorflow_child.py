"""What a process that imports TensorFlow says of it: its build, its devices, CUDA's libraries.

Run by itself (`python -m trainer.doctor.tensorflow_child`) it prints that as one line of JSON. A
TensorFlow that ends its process, or hangs, is so told from one that works.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from trainer.doctor import children

# A cold disk and two busy cores: a minute has been seen.
_IMPORT_SECONDS = 240
# By the major version of CUDA that TensorFlow is built for: what it opens on a GPU. From the names
# in tsl/platform/default/dso_loader.cc and CUDA's release notes.
LIBRARIES = {
    "12": (
        "libcudart.so.12", "libcublas.so.12", "libcufft.so.11", "libcusolver.so.11",
        "libcusparse.so.12", "libcudnn.so.9", "libnccl.so.2",
    ),
    "13": (
        "libcudart.so.13", "libcublas.so.13", "libcufft.so.12", "libcusolver.so.12",
        "libcusparse.so.12", "libcudnn.so.9", "libnccl.so.2",
    ),
}  # fmt: skip


@functools.cache
def facts() -> tuple[dict[str, Any] | None, children.Ended]:
    """Returns what the process said, None where it failed, and the process; asked once."""
    return children.ask([__name__], timeout_seconds=_IMPORT_SECONDS)


def can_import() -> bool:
    """Returns whether TensorFlow can be imported."""
    return facts()[0] is not None


def main() -> None:
    """Prints the facts."""
    # The libraries first: once TensorFlow has opened them, every name is found.
    libraries = {name: openable(name) for names in LIBRARIES.values() for name in names}
    started = time.perf_counter()
    from flowrate.lean_imports import without_optional_packages

    with without_optional_packages():
        import tensorflow as tf
    seconds = time.perf_counter() - started
    build = tf.sysconfig.get_build_info()
    cuda = str(build.get("cuda_version", ""))
    wanted = LIBRARIES.get(cuda.partition(".")[0], ()) if build.get("is_cuda_build") else ()
    print(
        json.dumps(
            {
                "version": tf.__version__,
                "import_seconds": round(seconds, 3),
                "is_cuda_build": bool(build.get("is_cuda_build")),
                "cuda_version": cuda or None,
                "cudnn_version": str(build.get("cudnn_version", "")) or None,
                "cuda_compute_capabilities": list(build.get("cuda_compute_capabilities", [])),
                "libraries": {name: libraries[name] for name in wanted},
                "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],
            }
        )
    )


def openable(name: str) -> bool:
    """Returns whether a library can be opened: of the system, or of NVIDIA's packages for pip."""
    for path in (name, *_of_packages(name)):
        try:
            ctypes.CDLL(path)
            return True
        except OSError:
            continue
    return False


def _of_packages(name: str) -> list[str]:
    """Returns where NVIDIA's packages have it; TensorFlow looks there by itself."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    return [
        str(path) for folder in folders or () for path in sorted(Path(folder).glob(f"*/lib/{name}"))
    ]


if __name__ == "__main__":
    sys.exit(main())
