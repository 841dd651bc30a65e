"""Exports a trained run: `python -m trainer.export runs/mine --format=tflite --quantize=int8`.

The order matters: flags, packages, run and data set are checked before TensorFlow is imported.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrate.command import run_command
from input_pipelines.start_tensorflow import import_tensorflow, quiet_tensorflow
from trainer.export.config import ExportConfig
from trainer.export.folder import check_output
from trainer.trained.run import TrainedRun, only_folder

USAGE = """Exports a trained run, and checks the file in the program it is meant for.

    python -m trainer.export RUN_DIR --format=keras|saved_model|tflite|onnx [--flag=value ...]

The file takes uint8 images and gives logits and probabilities. It is run over the whole test split
and refused, with status 10, if its accuracy falls by more than --tolerance."""


def main(argv: Sequence[str]) -> int:
    """Runs the program; returns its exit status (flowrate/errors.py)."""
    return run_command(argv, ExportConfig, USAGE, _export)


def _export(config: ExportConfig, words: list[str]) -> None:
    config.check_packages()
    trained = TrainedRun.open(only_folder(words))
    checkpoint = trained.checkpoint(config.checkpoint)
    default = trained.path / "export" / config.name
    output = Path(config.output).expanduser().absolute() if config.output else default
    check_output(output)
    from trainer.data import load_data_of

    quiet_tensorflow()
    asked = dataclasses.replace(trained.config, class_weights="none")  # Of training alone.
    if config.data_dir:
        asked = dataclasses.replace(asked, data_dir=config.data_dir)
    data = load_data_of(trained, asked)
    import_tensorflow()
    from trainer.export.run import export

    _show(export(config, trained, checkpoint, data.sources, output), output)


def _show(record: dict[str, Any], output: Path) -> None:
    import rich
    import rich.box
    from rich.table import Table

    latency = record["latency_ms"]
    table = Table(box=rich.box.SIMPLE_HEAD, show_header=False)
    for name, value in (
        ("run by", f"{record['runtime']}, {record['threads']} threads"),
        ("test split", f"{record['examples']:,} examples"),
        ("accuracy", f"{record['accuracy_before']:.4f} -> {record['accuracy_after']:.4f}"),
        ("answers changed", f"{record['changed_answers']:,}"),
        ("largest difference", f"{record['max_logit_difference']:.2g} of a logit, "
         f"{record['max_probability_difference']:.2g} of a probability"),
        ("size", f"{record['size_bytes']:,} bytes"),
        ("one image", f"p50 {latency['p50']:.3f} ms, p99 {latency['p99']:.3f} ms "
         f"({latency['calls']} calls)"),
    ):  # fmt: skip
        table.add_row(name, value)
    rich.print(table)
    print(output / record["file"])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
