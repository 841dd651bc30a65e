"""Which data sets can be trained on without a network, each loaded by its own code in a child."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.doctor import children
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, guarded

SECTION = "data sets"
# CIFAR-10 is 170 MB to unpack; 100,000 photos are read in a minute or two the first time.
_SECONDS = 600


def check_data_dir(data_dir: Path | None) -> None:
    """Raises DataError where --data_dir is no folder."""
    from input_pipelines.fetch.download import existing_folder

    existing_folder(data_dir, "")


def look(data_dir: Path | None) -> Iterator[Check]:
    """Yields the checks.

    Args:
        data_dir: a folder to look in before the usual places.
    """
    from input_pipelines.datasets import DATASETS

    for name in DATASETS.names():
        look_at = _check_prepared if name in DATASETS.families else _check
        yield from guarded(SECTION, name, lambda: look_at(name, data_dir))  # noqa: B023 (used at once)


def _check(name: str, data_dir: Path | None) -> Check:
    reasons = []
    for folder in dict.fromkeys([data_dir, None]):
        words = ["trainer.doctor.offline_load", name, *([str(folder)] if folder else [])]
        found, ended = children.ask(words, timeout_seconds=_SECONDS)
        if ended.exit_code is None:
            return Check(
                SECTION, name, WARNING, f"not yet read after {_SECONDS} s",
                "look at it alone: python -m input_pipelines.inspect, which reads to the end.",
            )  # fmt: skip
        if found is None:
            said = children.last_line(ended.errors)[:160]
            return Check(
                SECTION, name, FAILED, f"its code {ended.how()}: {said}", "see above: packages."
            )
        if found["state"] == "here":
            return _here(name, found, folder)
        if found["state"] == "damaged":
            # What a user gave is not ours to throw away.
            to_do = "do as it says; training stops there too." if folder else "get it anew."
            return Check(SECTION, name, FAILED, found["reason"], to_do, found)
        reasons.append(found)
    # What the given folder lacks, unless it is to be had without it.
    would_come = reasons[-1]["state"] == "download"
    return _not_here(name, reasons[-1] if would_come else reasons[0])


def _here(name: str, found: dict[str, Any], folder: Path | None) -> Check:
    counts = ", ".join(f"{count:,} {split}" for split, count in found["examples"].items())
    said = f"here, {counts}" + (f" (--data_dir={folder})" if folder else "")
    if not found["notes"]:
        return Check(SECTION, name, OK, said, facts=found)
    return Check(
        SECTION, name, WARNING, f"{said}; {' '.join(found['notes'])}",
        f"python -m input_pipelines.inspect --dataset={name} shows what is used.", found,
    )  # fmt: skip


def _not_here(name: str, found: dict[str, Any]) -> Check:
    if found["state"] == "download":
        size = f"{found['num_bytes'] / 1e6:,.0f} MB"
        return Check(
            SECTION, name, ABSENT, f"would be downloaded: {size} from {', '.join(found['hosts'])}",
            "the first training fetches it; without a network give --data_dir.", found,
        )  # fmt: skip
    return Check(SECTION, name, ABSENT, found["reason"].removesuffix("."), facts=found)


def _check_prepared(name: str, data_dir: Path | None) -> Check:
    """Of TensorFlow Datasets: what it has prepared, by the files it writes when it is done."""
    usual = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    for folder in dict.fromkeys([data_dir or usual, usual]):
        found = sorted(_prepared(folder))
        if found:
            some = ", ".join(f"{name}:{each}" for each in found[:8])
            return Check(
                SECTION, name, OK, f"prepared in {folder}: {some}", facts={"prepared": found}
            )
    return Check(
        SECTION, name, ABSENT, f"none is prepared in {usual}",
        "the first training fetches what it needs; without a network give --data_dir.",
    )  # fmt: skip


def _prepared(folder: Path) -> set[str]:
    """Returns names as `mnist` or `cmaterdb/bangla`: NAME/[CONFIG/]VERSION/dataset_info.json."""
    marks = [*folder.glob("*/*/dataset_info.json"), *folder.glob("*/*/*/dataset_info.json")]
    return {str(mark.parent.parent.relative_to(folder)) for mark in marks}
