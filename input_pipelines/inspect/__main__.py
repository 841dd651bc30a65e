"""Looks at a data set: `python -m input_pipelines.inspect --dataset=flowers`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flowrate.command import run_command
from flowrate.errors import ConfigError, DataError
from flowrate.records import disk_errors, to_json, write_json, write_text
from input_pipelines.inspect.config import InspectConfig
from input_pipelines.start_tensorflow import import_tensorflow, quiet_tensorflow

PAGE, RECORD = "inspect.html", "inspect.json"
USAGE = """Looks at a data set before it is trained on, and writes a page about it.

    python -m input_pipelines.inspect --dataset=NAME [--flag=value ...]

Writes inspect.html and inspect.json. Exit status 3: files cannot be decoded; all are named."""


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, InspectConfig, USAGE, _inspect)


def _inspect(config: InspectConfig, words: list[str]) -> None:
    if words:
        raise ConfigError(f"{words[0]!r} stands alone; write every flag as --name=value.")
    quiet_tensorflow()
    from input_pipelines.loading import load_sources

    # Before TensorFlow is loaded: a data set that is not there is reported at once.
    data = load_sources(
        config.dataset,
        data_dir=config.data_dir,
        columns=config.columns,
        image_size=config.image_size,
        validation_examples=config.validation_examples,
        seed=config.seed,
        verify=config.verify,
    )
    with disk_errors(config.folder):
        config.folder.mkdir(parents=True, exist_ok=True)
    import_tensorflow()
    from input_pipelines.inspect.inspection import inspect
    from input_pipelines.inspect.page import render_page
    from input_pipelines.inspect.summary import show
    from input_pipelines.progress import Progress

    page, record_file = config.folder / PAGE, config.folder / RECORD
    with Progress() as progress:
        inspection = inspect(data, config, progress)
        progress.start("drawing", None)
        write_json(record_file, inspection.record)
        write_text(page, render_page(inspection))
    if config.json:
        print(to_json(inspection.record), end="")
    else:
        show(inspection.record, page, record_file)
    if failures := inspection.record["undecodable"]:
        raise DataError(
            f"{len(failures):,} of the files cannot be used, and training stops there; "
            f"{record_file} names each with its reason."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv))
