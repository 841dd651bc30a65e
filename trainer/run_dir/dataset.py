"""Which image files a run is trained on: dataset.json.gz in its folder. Other files are refused.

A run that resumes with other data is another run: the order of its examples, its figures and its
test set have changed. So a change of the data must be confirmed by a flag.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from flowrate.errors import RunDirError
from flowrate.records import disk_errors, written_whole
from flowrate.text import printable
from input_pipelines.loading import LoadedData
from input_pipelines.source import FileSource

_NAME = "dataset.json.gz"
_VERSION = 1
# Names shown of the files that were added, removed or changed.
_MAX_NAMES = 5


@dataclasses.dataclass(frozen=True)
class DatasetRecord:
    """The image files that are used, of all splits.

    Attributes:
        class_names: in label order.
        files: {path from the data set's folder: (sha256, label)}, sorted.
    """

    class_names: tuple[str, ...]
    files: dict[str, tuple[str, int]]

    @classmethod
    def of(cls, data: LoadedData) -> DatasetRecord | None:
        """Returns the record of a data set; None where it came as arrays."""
        if data.manifest is None:
            return None
        found = {}
        for source in data.sources.values():
            if isinstance(source, FileSource):
                for path, label in zip(source.paths, source.labels.tolist()):
                    found[data.manifest.name_of(path)] = (data.manifest.files[path].sha256, label)
        return cls(data.class_names, dict(sorted(found.items())))

    @functools.cached_property
    def sha256(self) -> str:
        """Of all that the record says, in hexadecimal digits."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def difference(self, before: DatasetRecord) -> str:
        """Returns `+1 -0 ~1 (added: a/x.jpg; changed: b/y.jpg)`; empty where nothing differs."""
        ours, theirs = self.files.keys(), before.files.keys()
        kinds = {
            "added": sorted(ours - theirs),
            "removed": sorted(theirs - ours),
            "changed": sorted(n for n in ours & theirs if self.files[n] != before.files[n]),
        }
        if not any(kinds.values()):
            return ""
        counts = " ".join(f"{sign}{len(names):,}" for sign, names in zip("+-~", kinds.values()))
        named = "; ".join(f"{kind}: {_some(names)}" for kind, names in kinds.items() if names)
        return f"{counts} ({named})"

    def check(self, run_dir: Path, accept_change: bool, tell: Callable[[str], None]) -> None:
        """Compares the data with those that a run began with.

        Args:
            run_dir: folder of the run.
            accept_change: go on with other files.
            tell: takes a line on a change that is accepted.

        Raises:
            RunDirError: they differ, or the record is damaged.
        """
        if not (run_dir / _NAME).exists():
            return
        before = _read(run_dir / _NAME)
        if self.class_names != before.class_names:
            raise RunDirError(
                f"{run_dir}: the classes differ from those that this run began with (then "
                f"{_some(before.class_names)}; now {_some(self.class_names)}); a model cannot "
                "change its classes: give the same folders or another --run_dir."
            )
        difference = self.difference(before)
        if difference and not accept_change:
            raise RunDirError(
                f"{run_dir}: dataset differs: {difference}; give the same data, "
                "--accept_data_change to go on with these, or another --run_dir."
            )
        if difference:
            tell(f"dataset differs: {difference}; going on with it.")

    def save(self, run_dir: Path) -> None:
        """Notes the data in the folder of a run that `check` let go on; keeps what was there.

        Raises:
            DiskError: it cannot be written.
        """
        path = run_dir / _NAME
        with disk_errors(path):
            if path.exists():
                if _read(path) == self:
                    return
                path.rename(_free_name(run_dir))
        with (
            written_whole(path) as temporary,
            # Without a time, so that the same data give the same file.
            gzip.GzipFile(temporary, "wb", mtime=0) as file,
        ):
            file.write(self._text().encode())

    def _text(self) -> str:
        rows = [[name, *facts] for name, facts in self.files.items()]
        return json.dumps({"version": _VERSION, "class_names": self.class_names, "files": rows})


def _read(path: Path) -> DatasetRecord:
    try:
        with gzip.open(path) as file:
            found = json.load(file)
        files = {name: (sha256, label) for name, sha256, label in found["files"]}
        return DatasetRecord(tuple(found["class_names"]), files)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RunDirError(
            f"{path} is damaged ({' '.join(str(error).split())}); remove it if the data are those "
            "that the run began with."
        ) from None


def _free_name(run_dir: Path) -> Path:
    number = 1
    while (path := run_dir / f"dataset-before-{number}.json.gz").exists():
        number += 1
    return path


def _some(names: Iterable[str]) -> str:
    names = [printable(name) for name in names]
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
