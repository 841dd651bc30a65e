"""Checkpoints: one folder each, whole or absent, checked by SHA-256 when read.

    ckpt-00000450/
        arrays.npz       weights, statistics and optimizer state, as plain arrays
        progress.json    where the run stands (trainer/progress.py)
        manifest.json    size and SHA-256 of the two

A folder is written as `ckpt-N.tmp`, brought to the disk, then renamed; a deleted one is renamed to
`.tmp` first. So whatever ends in `.tmp` is litter, and whatever does not was once whole. Arrays
say nothing of replicas or devices: a run may go on with others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import DivergedError, RunDirError
from flowrate.failpoint import reach
from flowrate.records import disk_errors, read_json, sync_to_disk, to_json
from trainer.arrays import read_arrays
from trainer.progress import Progress

ARRAYS, PROGRESS, MANIFEST = "arrays.npz", "progress.json", "manifest.json"
SCHEMA_VERSION = 1
_NAME = re.compile(r"ckpt-(\d{8,})")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: arrays by name, and the progress; when it was written, if known."""

    arrays: dict[str, np.ndarray]
    progress: Progress
    written_at: float | None = None

    def describe_resumed(self) -> str:
        """Returns the line that says where a run goes on from."""
        age = ""
        if self.written_at is not None:
            age = f" (checkpoint of {_describe_seconds(time.time() - self.written_at)} ago)"
        return f"resumed from step {self.progress.step:,}{age}."


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made with the first one.
        keep: how many of the latest to keep; the best is kept besides.
        tell: takes a line for the user.
        check_held: raises where the run is no longer this process's to write; asked just before a
            checkpoint takes its place.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        tell: Callable[[str], None],
        check_held: Callable[[], None] = lambda: None,
    ):
        self._folder = folder
        self._keep = keep
        self._tell = tell
        self._check_held = check_held

    def save(self, arrays: dict[str, np.ndarray], progress: Progress) -> Path:
        """Writes a checkpoint of `progress.step` and deletes those no longer wanted.

        Returns:
            Its folder.

        Raises:
            DivergedError: an array holds NaN or infinity; nothing is written.
            DiskError: it cannot be written; earlier checkpoints stay as they are.
            ClusterError: a later start of the run has taken it over.
        """
        _check_finite(arrays, progress.step)
        final = self._folder / f"ckpt-{progress.step:08d}"
        temporary = final.with_suffix(".tmp")
        try:
            with disk_errors(final):
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
                reach("save")
                np.savez(temporary / ARRAYS, **arrays)
                (temporary / PROGRESS).write_text(to_json(progress.to_json()))
                (temporary / MANIFEST).write_text(to_json(_manifest_of(temporary)))
                for path in (*temporary.iterdir(), temporary):
                    sync_to_disk(path)
                self._check_held()
                if final.exists():  # The same step again, as after an interrupted evaluation.
                    self._delete(final)
                os.replace(temporary, final)
                sync_to_disk(self._folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._delete_unwanted(progress)
        return final

    def latest(self) -> Checkpoint | None:
        """Reads the newest whole checkpoint; damaged ones are named and set aside.

        Returns:
            The checkpoint, or None where there is none at all.

        Raises:
            RunDirError: there are checkpoints, and every one is damaged; none is touched.
        """
        damaged = []
        if not self.steps() and (set_aside := self._set_aside()):
            raise RunDirError(
                f"no checkpoint is left but damaged ones ({', '.join(set_aside)}), refusing to "
                "start over; start anew in another --run_dir."
            )
        for step in sorted(self.steps(), reverse=True):
            try:
                checkpoint = self.read(step)
            except RunDirError as error:
                damaged.append((step, str(error)))
                continue
            for bad_step, reason in damaged:
                path = self._path(bad_step)
                self._tell(f"{reason}; set aside; using ckpt-{step:08d}.")
                path.rename(_free_name(path.with_suffix(".damaged")))
            return checkpoint
        if damaged:
            raise RunDirError(
                "every checkpoint is damaged, refusing to start over: "
                + "; ".join(reason for _, reason in damaged)
                + ". Start anew in another --run_dir."
            )
        return None

    def read(self, step: int) -> Checkpoint:
        """Reads one checkpoint.

        Raises:
            RunDirError: it is damaged, with the name of the file and what is wrong with it.
        """
        path = self._path(step)
        try:
            promised, found = read_json(path / MANIFEST), _manifest_of(path)
            for name, facts in found["files"].items():
                for fact, value in facts.items():
                    if promised["files"][name][fact] != value:
                        raise RunDirError(f"{path.name} damaged: {name} {fact} differs")
            if (path / MANIFEST).read_text(encoding="utf-8") != to_json(found):
                raise ValueError
            progress = Progress.from_json(read_json(path / PROGRESS))
            arrays = read_arrays(path / ARRAYS)
            written_at = (path / MANIFEST).stat().st_mtime
        except OSError as error:
            what = Path(error.filename).name if error.filename else path.name
            raise RunDirError(f"{path.name} damaged: {what}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
            raise RunDirError(f"{path.name} damaged: {MANIFEST} is not what was written") from None
        return Checkpoint(arrays, progress, written_at)

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints there are, damaged or not."""
        if not self._folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(match.group(1)) for match in matches if match)

    def sweep(self) -> None:
        """Deletes what an interrupted save or deletion left behind, and says so."""
        if self._folder.is_dir():
            for path in sorted(self._folder.glob("*.tmp")):
                self._tell(f"ignored unfinished checkpoint {path.stem}, swept.")
                shutil.rmtree(path, ignore_errors=True)

    def _set_aside(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.glob("ckpt-*.damaged*"))

    def _path(self, step: int) -> Path:
        return self._folder / f"ckpt-{step:08d}"

    def _delete_unwanted(self, progress: Progress) -> None:
        wanted = set(self.steps()[-self._keep :])
        if progress.best:
            wanted.add(progress.best["step"])
        for step in set(self.steps()) - wanted:
            self._delete(self._path(step))

    def _delete(self, path: Path) -> None:
        doomed = path.with_suffix(".deleted.tmp")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _check_finite(arrays: dict[str, np.ndarray], step: int) -> None:
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise DivergedError(
                f"after step {step}, {name} holds a number that is not finite; the checkpoint was "
                "not written. Lower --learning_rate, or set --gradient_clip_norm=1."
            )


def _manifest_of(folder: Path) -> dict[str, Any]:
    files = {name: _describe(folder / name) for name in (ARRAYS, PROGRESS)}
    return {"schema_version": SCHEMA_VERSION, "files": files}


def _describe(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else None
        if digest is None:  # Python 3.10
            digest = hashlib.sha256()
            while chunk := file.read(2**20):
                digest.update(chunk)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def _free_name(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _describe_seconds(seconds: float) -> str:
    """Returns a span of time in the largest unit that it fills twice; never below 0."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
