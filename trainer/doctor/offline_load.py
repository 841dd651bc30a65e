"""Loads a data set without a network: `python -m trainer.doctor.offline_load NAME [DATA_DIR]`.

Loaded as training loads it, image files are read too. Prints one line of JSON: {"state": "here",
"examples": {...}, "notes": [...]}, or "download" with the bytes and hosts, or "missing" or
"damaged" with the reason.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from flowrate.errors import DataError
from flowrate.text import one_line
from input_pipelines.fetch.download import OFFLINE, DownloadNeededError, MissingDataError, host_of


def main(name: str, data_dir: str | None = None) -> None:
    """Prints what became of loading `name`."""
    os.environ[OFFLINE] = "1"
    sys.addaudithook(_forbid_network)
    print(json.dumps(_load(name, data_dir)))


def _load(name: str, data_dir: str | None) -> dict[str, Any]:
    from input_pipelines.loading import load_sources

    try:
        data = load_sources(name, data_dir=data_dir, on_bad_image="error")
    except DownloadNeededError as error:
        hosts = sorted({host_of(file.url) for file in error.files})
        num_bytes = sum(file.num_bytes for file in error.files)
        return {"state": "download", "num_bytes": num_bytes, "hosts": hosts}
    except DataError as error:
        state = "missing" if isinstance(error, MissingDataError) else "damaged"
        return {"state": state, "reason": one_line(error)}
    return {
        "state": "here",
        "examples": {split: len(source) for split, source in data.sources.items()},
        "notes": [one_line(note) for note in data.notes],
    }


def _forbid_network(event: str, _arguments: tuple) -> None:
    """Raises for a connection or a look-up of a name, by whatever code (PEP 578)."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"the network is not to be used ({event})")


if __name__ == "__main__":
    main(*sys.argv[1:])
