"""What people call the splits.

    train, training                       train
    val, valid, validation, dev, eval     validation
    test, testing, holdout                test

in any case, and with spaces, hyphens or underscores anywhere.
"""

from __future__ import annotations

import re

_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "eval": "validation",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip


def split_of(name: str) -> str | None:
    """Returns train, validation or test for what is named as one; else None."""
    return _NAMES.get(re.sub(r"[\s_-]", "", name.casefold()))
