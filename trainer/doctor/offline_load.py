"""Loads a data set without a network: `python -m trainer.doctor.offline_load NAME [DATA_DIR]`.

Loaded as training loads it, image files are read too. Prints one line of JSON: {"state": "here",
"examples": {...}, "notes": [...], "seconds"}, or "download" with the bytes and hosts, or "missing"
or "damaged" with the reason.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.parse
from typing import Any


def main(name: str, data_dir: str | None = None) -> None:
    """Prints what became of loading `name`."""
    from input_pipelines.fetch import download as _download

    os.environ[_download.OFFLINE] = "1"
    sys.addaudithook(_forbid_network)
    print(json.dumps(load(name, data_dir)))


def load(name: str, data_dir: str | None) -> dict[str, Any]:
    """Returns what became of it, JSON-able."""
    from flowrate.errors import DataError
    from flowrate.text import one_line
    from input_pipelines.fetch import download as _download
    from input_pipelines.loading import load_sources

    started = time.perf_counter()
    try:
        data = load_sources(name, data_dir=data_dir, on_bad_image="error")
    except _download.DownloadNeededError as error:
        hosts = sorted({urllib.parse.urlsplit(file.url).hostname for file in error.files})
        num_bytes = sum(file.num_bytes for file in error.files)
        return {"state": "download", "num_bytes": num_bytes, "hosts": hosts}
    except _download.MissingDataError as error:
        return {"state": "missing", "reason": one_line(error)}
    except DataError as error:
        return {"state": "damaged", "reason": one_line(error)}
    return {
        "state": "here",
        "examples": {split: len(source) for split, source in data.sources.items()},
        "notes": [one_line(note) for note in data.notes],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _forbid_network(event: str, arguments: tuple) -> None:
    """Raises for a connection or a look-up of a name, by whatever code (PEP 578)."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"the network is not to be used ({event})")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
