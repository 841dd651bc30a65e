"""Slurm's short forms for the nodes of a job and their tasks, written out."""

from __future__ import annotations

import re

_MOST_NODES = 100_000


def expand_host_list(text: str) -> list[str]:
    """Expands Slurm's short form in its order: `gpu[9-11],login` -> gpu9 gpu10 gpu11 login.

    As `scontrol show hostnames` does, which is not there in every container.

    Raises:
        ValueError: it is no such list, or one without end.
    """
    hosts = []
    for item in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        names = [""]
        for plain, numbers in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", item):
            endings = [plain] if plain else _expand_numbers(numbers)
            names = [name + ending for name in names for ending in endings]
        hosts += names
    return hosts


def expand_task_counts(text: str) -> list[int]:
    """Expands Slurm's counts per node: `2(x3),1` -> 2 2 2 1."""
    counts = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts


def _expand_numbers(text: str) -> list[str]:
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        width = len(first)  # node[08-10]: leading zeros count.
        numbers = range(int(first), int(last or first) + 1)
        if not 0 < len(numbers) <= _MOST_NODES:
            raise ValueError(f"{part} is no range")
        found += [f"{number:0{width}d}" for number in numbers]
    return found
