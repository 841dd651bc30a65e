"""The manifest of a folder of images: what each file holds, found out once and then remembered.

    path (from the folder), size, mtime_ns, ctime_ns, sha256, format, width, height, orientation,
    problem: why it cannot be used, or null

It lies in the user's cache, named by the folder. A file is read again when its size or one of its
times changes. Other content under the old size and time of writing is damage of the disk: refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flowrate.environment import num_cpus
from flowrate.text import printable
from input_pipelines.fetch.download import cache_folder
from input_pipelines.fetch.partial import delete_abandoned, partial_path
from input_pipelines.images.examine import Contents, examine
from input_pipelines.images.headers import headers_of_any_size
from input_pipelines.progress import Progress

# Raised whenever the same file would get another row.
_VERSION = 3
# Files handed to the threads at once.
_AT_ONCE = 1024
_HERE = Path(".")
ROTTEN = "sha256 differs from manifest, size and time do not: damaged on the disk; restore or touch"


@dataclasses.dataclass(frozen=True)
class Row:
    """What is remembered of a file.

    Attributes:
        size: in bytes.
        mtime_ns: when its content was last written, as programs may set it.
        ctime_ns: when anything of it changed, as the system says.
        contents: what it holds.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    contents: Contents


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the files of a data set hold.

    Attributes:
        root: the folder that all lie in.
        files: {path: what it holds}.
    """

    root: Path
    files: Mapping[Path, Contents]

    def problems(self) -> dict[Path, str]:
        """Returns {path: reason} of the files that cannot be used, in order of their paths."""
        found = ((path, contents.problem) for path, contents in self.files.items())
        return dict(sorted((path, problem) for path, problem in found if problem))

    def name_of(self, path: Path) -> str:
        """Returns the path from the root: it stays when the folder is moved."""
        return _name(path, self.root)


def read_manifest(
    paths: Sequence[Path], *, verify: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Manifest:
    """Brings the manifest of a data set up to date, and returns it.

    Args:
        paths: all image files of the data set, one at least.
        verify: read every file again, whatever its times say.
        tell: is told where a damaged manifest was thrown away.
    """
    root = Path(os.path.commonpath([path.parent for path in paths]))
    store = stored_at(root)
    before = _load(store, tell)
    rows, examined, new = {}, {}, []
    for path in paths:
        name = _name(path, root)
        old = before.get(name)
        if not verify and old and _times(path) == (old.size, old.mtime_ns, old.ctime_ns):
            rows[name], examined[path] = old, old.contents
        else:
            new.append(path)
    for path, (row, contents) in _examine_all(new):
        name = _name(path, root)
        old = before.get(name)
        if (
            old and row
            and (old.size, old.mtime_ns) == (row.size, row.mtime_ns)
            and old.contents.sha256 != row.contents.sha256
        ):  # fmt: skip
            # What it was is not forgotten by looking.
            row = dataclasses.replace(old, ctime_ns=0)  # So that it is read again each time.
            contents = dataclasses.replace(contents, problem=ROTTEN)
        if row:
            rows[name] = row
        examined[path] = contents
    if rows != before:
        _save(store, root, rows)
    return Manifest(root, {path: examined[path] for path in paths})


def stored_at(root: Path) -> Path:
    """Returns where the manifest of a folder is kept."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return cache_folder("manifests") / f"{digest}.json"


def _times(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _examine_all(paths: Sequence[Path]) -> Iterator[tuple[Path, tuple[Row | None, Contents]]]:
    """Yields (path, (its row, or None where it cannot be read, what it holds)), in order."""
    with Progress() as bar, headers_of_any_size(), ThreadPoolExecutor(num_cpus()) as threads:
        if paths:
            bar.start("reading images that are new", len(paths))
        for first in range(0, len(paths), _AT_ONCE):
            part = paths[first : first + _AT_ONCE]
            for path, found in zip(part, threads.map(_examine_one, part)):
                bar.advance(1)
                yield path, found


def _examine_one(path: Path) -> tuple[Row | None, Contents]:
    # Before it is read: what is written meanwhile makes the row old, not wrong.
    times = _times(path)
    contents = examine(path)
    return (Row(*times, contents) if times and contents.sha256 else None), contents


def _name(path: Path, root: Path) -> str:
    # A tenth of what Path.relative_to takes.
    return str(path)[len(str(root)) :].lstrip(os.sep) if root != _HERE else str(path)


def _load(store: Path, tell: Callable[[str], None]) -> dict[str, Row]:
    try:
        head, _, body = store.read_bytes().partition(b"\n")
    except OSError:
        return {}
    try:
        facts = json.loads(head)
        if facts["sha256"] != hashlib.sha256(body).hexdigest():
            raise ValueError
        if facts["version"] != _VERSION:
            return {}
        return {
            name: Row(size, mtime_ns, ctime_ns, Contents(*rest))
            for name, (size, mtime_ns, ctime_ns), rest in json.loads(body)
        }
    except (ValueError, TypeError, KeyError):
        tell(f"{printable(store)}: the manifest of the images is damaged; it is made anew.")
        return {}


def _save(store: Path, root: Path, rows: Mapping[str, Row]) -> None:
    """Writes the manifest, whole or not at all; without one, all is only read again next time."""
    lines = [
        json.dumps(
            [name, [row.size, row.mtime_ns, row.ctime_ns], dataclasses.astuple(row.contents)]
        )
        for name, row in sorted(rows.items())
    ]
    body = ("[\n" + ",\n".join(lines) + "\n]\n").encode()
    head = {
        "version": _VERSION, "root": str(root), "sha256": hashlib.sha256(body).hexdigest()
    }  # fmt: skip
    partial = partial_path(store)
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        delete_abandoned(store.parent)
        try:
            partial.write_bytes(json.dumps(head).encode() + b"\n" + body)
            partial.replace(store)
        finally:
            partial.unlink(missing_ok=True)
