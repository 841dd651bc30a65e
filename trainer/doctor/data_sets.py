"""Which data sets can be trained on without a network, each loaded by its own code in a child."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainer.doctor import children
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check

# CIFAR-10 is 170 MB to unpack; 100,000 photos are read in a minute or two the first time.
_SECONDS = 600
_LATER = "the first training fetches it; without a network give --data_dir."


def look(data_dir: Path | None) -> Iterator[tuple[str, Check]]:
    """Yields a check for each data set but the families, whose members are not known.

    Args:
        data_dir: a folder to look in before the usual places.
    """
    from input_pipelines.datasets import DATASETS

    for name in DATASETS.names():
        if name not in DATASETS.families:
            yield name, check_data_set(name, data_dir)


def check_data_set(name: str, data_dir: Path | None) -> Check:
    """Returns whether a data set is here: in `data_dir`, or else in the usual places."""
    absent = []
    for folder in dict.fromkeys([data_dir, None]):
        words = ["trainer.doctor.offline_load", name, *([str(folder)] if folder else [])]
        found, ended = children.ask(words, timeout_seconds=_SECONDS)
        if found is None:
            said = children.last_line(ended.errors)[:160]
            to_do = f"python -m input_pipelines.inspect --dataset={name} loads it alone."
            # A large data set that is slow to read is no failure.
            verdict = WARNING if ended.exit_code is None else FAILED
            return Check(verdict, f"its code {ended.how()}: {said}", to_do)
        if found["state"] == "here":
            counts = ", ".join(f"{count:,} {split}" for split, count in found["examples"].items())
            said = f"here, {counts}" + (f" (--data_dir={folder})" if folder else "")
            if not found["notes"]:
                return Check(OK, said, facts=found)
            to_do = f"python -m input_pipelines.inspect --dataset={name} shows what is used."
            return Check(WARNING, f"{said}; {' '.join(found['notes'])}", to_do, found)
        if found["state"] == "damaged":
            # What a user gave is not ours to throw away.
            to_do = "do as it says; training stops there too." if folder else "get it anew."
            return Check(FAILED, found["reason"], to_do, found)
        absent.append(found)
    # What the given folder lacks, unless it can be downloaded.
    found = absent[-1] if absent[-1]["state"] == "download" else absent[0]
    if found["state"] != "download":
        return Check(ABSENT, found["reason"].removesuffix("."), facts=found)
    size, hosts = f"{found['num_bytes'] / 1e6:,.0f} MB", ", ".join(found["hosts"])
    return Check(ABSENT, f"would be downloaded: {size} from {hosts}", _LATER, found)
