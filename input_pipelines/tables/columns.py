"""Which columns of a table hold the image, its label and its split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from flowrate.errors import ConfigError
from flowrate.text import one_line, printable

# In any case. Where there are several, the role's own name, the first, is meant.
_USUAL_NAMES = {
    "image": (
        "image", "image_path", "img", "img_path", "path", "file", "file_name", "filename",
        "file_path", "filepath", "image_id",
    ),
    "label": (
        "label", "labels", "class", "class_name", "target", "category", "species", "breed",
        "diagnosis",
    ),
    "split": ("split", "set", "subset", "partition"),
}  # fmt: skip


class Columns(TypedDict):
    """The column of each role."""

    image: str
    label: str
    split: str | None


def parse_columns(text: str | None) -> dict[str, str]:
    """Returns {role: column} of `image=NAME,label=NAME,split=NAME`, any of the three.

    Raises:
        ConfigError: it is written otherwise.
    """
    pairs = [part.partition("=") for part in (text or "").split(",") if text]
    columns = {role.strip(): name.strip() for role, _, name in pairs}
    wrong = len(columns) < len(pairs) or not all(columns.values())
    if wrong or not columns.keys() <= _USUAL_NAMES.keys():
        raise ConfigError(
            f"--columns={one_line(text)}: write --columns=image=NAME,label=NAME,split=NAME, or "
            "some of the three, once each."
        )
    return columns


def choose_columns(names: Sequence[str], asked: Mapping[str, str], path: Path) -> Columns:
    """Returns {image, label, split: the column that holds it}; a split may be None.

    Args:
        names: of the table's columns.
        asked: {role: column} that the user named.

    Raises:
        ConfigError: no such column, or several that it could be.
    """
    chosen = {role: _choose(role, names, asked.get(role), path) for role in _USUAL_NAMES}
    given = list(filter(None, chosen.values()))
    twice = [name for name in given if given.count(name) > 1 or names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"{printable(path)}: column {one_line(twice[0])} would be used twice, or is there "
            "twice; name others with --columns, or rename one."
        )
    return cast(Columns, chosen)  # `_choose` gives None for a split alone.


def _choose(role: str, names: Sequence[str], asked: str | None, path: Path) -> str | None:
    there = one_line(f"it has {', '.join(names)}")
    if asked:
        if asked not in names:
            raise ConfigError(
                f"--columns={role}={one_line(asked)}: {printable(path)} has no such column; "
                f"{there}."
            )
        return asked
    plain = {name: name.strip().casefold() for name in names}
    found = [name for name in names if plain[name] in _USUAL_NAMES[role]]
    found = [name for name in found if plain[name] == role] or found
    if len(found) == 1 or (role == "split" and not found):
        return found[0] if found else None
    which = f"{' or '.join(found)} may hold" if found else "no column is known to hold"
    raise ConfigError(
        f"{printable(path)}: {one_line(which)} the {role} ({there}); name it with "
        f"--columns={role}=NAME."
    )
