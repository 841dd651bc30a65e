"""Loads a data set without a network: `python -m trainer.doctor.offline_load NAME [DATA_DIR]`.

Prints one line of JSON: {"state": "here", "examples": {...}, "seconds"}, or "download" with the
bytes and hosts, or "missing" or "damaged" with the reason.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any


def main(name: str, data_dir: str | None = None) -> None:
    """Prints what became of loading `name`."""
    from input_pipelines import _download

    os.environ[_download.OFFLINE] = "1"
    sys.addaudithook(_forbid_network)
    print(json.dumps(load(name, Path(data_dir) if data_dir else None)))


def load(name: str, data_dir: Path | None) -> dict[str, Any]:
    """Returns what became of it, JSON-able."""
    from flowrate.errors import DataError
    from input_pipelines import DATASETS, _download
    from input_pipelines._dataset import LoadOptions

    started = time.perf_counter()
    dataset, argument = DATASETS.load(name)
    options = LoadOptions(
        data_dir=data_dir, argument=argument, image_shape=dataset.INFO.image_shape
    )
    try:
        sources = dataset.load(options)
    except _download.DownloadNeededError as error:
        hosts = sorted({urllib.parse.urlsplit(file.url).hostname for file in error.files})
        num_bytes = sum(file.num_bytes for file in error.files)
        return {"state": "download", "num_bytes": num_bytes, "hosts": hosts}
    except _download.MissingDataError as error:
        return {"state": "missing", "reason": str(error)}
    except DataError as error:
        return {"state": "damaged", "reason": str(error)}
    examples = {split: len(source) for split, source in sources.items()}
    return {
        "state": "here",
        "examples": examples,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _forbid_network(event: str, arguments: tuple) -> None:
    """Raises for a connection or a look-up of a name, by whatever code (PEP 578)."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"the network is not to be used ({event})")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
