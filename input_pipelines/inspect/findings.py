"""What may do harm, in sentences: terminal, page and record begin with these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# From this ratio on classes are called unequal.
_IMBALANCE = 1.5

Record = Mapping[str, Any]


def headline(record: Record) -> str:
    """Returns what the data set is, in a sentence."""
    splits = ", ".join(f"{each['examples']:,} {name}" for name, each in record["splits"].items())
    return f"{record['examples']:,} images in {len(record['class_names']):,} classes: {splits}."


def find_harm(record: Record) -> list[str]:
    """Returns what may do harm, the worst first; empty where nothing was found.

    Args:
        record: inspect.json without its field `findings`.
    """
    return [
        f"{message.format(*values)} {advice}".strip()
        for test, message, advice in _FINDINGS
        for values in test(record)
    ]


def _count(number: int) -> list[tuple]:
    return [(f"{number:,}",)] if number else []


def _duplicates(record: Record) -> list[tuple]:
    found = record["duplicates"]
    return [(f"{found['groups']:,}", f"{found['surplus_examples']:,}")] if found["groups"] else []


def _imbalance(record: Record) -> list[tuple]:
    train = record["splits"]["train"]
    if not train["imbalance"] or train["imbalance"] < _IMBALANCE:
        return []
    by_size = sorted(train["classes"], key=lambda each: each["examples"])
    return [(f"{train['imbalance']:.3g}", by_size[-1]["name"], by_size[0]["name"])]


# The worst first: a test, which gives the values of each sentence; the sentence; what to do.
_FINDINGS = (
    (
        lambda record: _count(len(record["undecodable"])),
        "Files that cannot be used: {}.",
        "Training stops there; repair or remove them.",
    ),
    (
        lambda record: _count(record["duplicates"]["different_labels"]),
        "Images in more than one class: {}.",
        "At least one label of each is wrong; keep the right one.",
    ),
    (
        lambda record: _count(record["duplicates"]["across_splits"]),
        "Images in more than one split: {}.",
        "They are trained on and then tested; keep one of each.",
    ),
    (_duplicates, "Groups of exact duplicates: {}, with {} examples too many.", ""),
    (lambda record: [(note,) for note in record["notes"]], "{}", ""),
    (
        _imbalance,
        "Classes are unequal: train has {} times as many of {} as of {}.",
        "Read the accuracy of each class; --class_weights=balanced or --balance trains for it.",
    ),
    (
        lambda record: _count(len(record["files"]["wrong_suffix"]) if record["files"] else 0),
        "Files named as another format: {}.",
        "Training goes by the content; other programs may not.",
    ),
    (
        lambda record: _count(len(record["brightness"]["blank"])),
        "Images of one colour throughout: {}.",
        "Look at them; they teach nothing.",
    ),
)
