"""Checkpoints: one folder each, whole or absent, checked by SHA-256 when read.

    ckpt-00000450/
        arrays.npz       weights, statistics and optimizer state, as plain arrays
        progress.json    where the run stands (trainer/checkpoints/progress.py)
        manifest.json    size and SHA-256 of the two

A folder is written as `ckpt-N.tmp`, brought to the disk, then renamed; a deleted one is renamed to
`.tmp` first. So whatever ends in `.tmp` is litter, and whatever does not was once whole. One that
is written again waits as `ckpt-N.replaced` until the new one is in place. Arrays say nothing of
replicas or devices: a run may go on with others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import DiskError, DivergedError, RunDirError
from flowrate.failpoint import reach
from flowrate.records import read_json, sync_to_disk, to_json
from trainer.checkpoints.npz import read_arrays
from trainer.checkpoints.progress import Progress

ARRAYS, PROGRESS, MANIFEST = "arrays.npz", "progress.json", "manifest.json"
SCHEMA_VERSION = 1
_REPLACED = ".replaced"
_NAME = re.compile(rf"ckpt-(\d{{8,}})({re.escape(_REPLACED)})?")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What an archive adds to each array, and the other files with their folder, are less than this.
_BYTES_PER_ARRAY, _BYTES_BESIDE = 512, 32_768


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: arrays by name, and the progress; when it was written, if known."""

    arrays: dict[str, np.ndarray]
    progress: Progress
    written_at: float | None = None

    def describe_resumed(self) -> str:
        """Returns the line that says where a run resumes."""
        age = ""
        if self.written_at is not None:
            age = f" (checkpoint of {_describe_seconds(time.time() - self.written_at)} ago)"
        return f"resumed from step {self.progress.step:,}{age}."


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made with the first one.
        keep: how many of the latest to keep; the best that these name are kept besides.
        tell: takes a line for the user.
        before_publishing: is called just before a checkpoint takes its place, and raises where
            the run is no longer this process's to write.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        tell: Callable[[str], None],
        before_publishing: Callable[[], None] = lambda: None,
    ):
        self._folder = folder
        self._keep = keep
        self._tell = tell
        self._before_publishing = before_publishing

    def save(self, arrays: dict[str, np.ndarray], progress: Progress) -> Path:
        """Writes a checkpoint of `progress.step` and deletes those no longer wanted.

        Returns:
            Its folder.

        Raises:
            DivergedError: an array holds NaN or infinity; nothing is written.
            DiskError: it cannot be written; earlier checkpoints stay as they are.
            ClusterError: a later start of the run has taken it over.
        """
        check_finite(arrays, progress.step)
        final = self._folder / f"ckpt-{progress.step:08d}"
        temporary = final.with_suffix(".tmp")
        try:
            self._make_folder()
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            reach("save")
            # No array is called allow_pickle, a flag of NumPy's since 2.2.
            np.savez(temporary / ARRAYS, **arrays)  # type: ignore[arg-type]
            (temporary / PROGRESS).write_text(to_json(progress.to_json()))
            (temporary / MANIFEST).write_text(to_json(_manifest_of(temporary)))
            for path in (*temporary.iterdir(), temporary):
                sync_to_disk(path)
            self._before_publishing()
            replaced = self._put_in_place(temporary, final)
            sync_to_disk(self._folder)
            if replaced:
                self._delete(replaced)
            self._delete_unwanted(progress)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):
                raise self._describe_failure(error, final, arrays) from error
            raise
        return final

    def latest(self) -> Checkpoint | None:
        """Reads the newest whole checkpoint; damaged ones are named and set aside.

        Returns:
            The checkpoint, or None where there is none at all.

        Raises:
            RunDirError: there are checkpoints, and every one is damaged; none is touched.
        """
        damaged = []
        set_aside = sorted(path.name for path in self._folder.glob("ckpt-*.damaged*"))
        if set_aside and not self.steps():
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
        matches = (_NAME.fullmatch(path.name) for path in self._folder.glob("ckpt-*"))
        return sorted({int(match.group(1)) for match in matches if match})

    def sweep(self) -> None:
        """Deletes what an interrupted save or deletion left behind, and says so."""
        for path in sorted(self._folder.glob(f"ckpt-*{_REPLACED}")):
            final = path.with_suffix("")
            if final.exists():
                self._delete(path)
            else:
                path.rename(final)
                self._tell(f"kept {final.name}: the save that was to replace it did not finish.")
        for path in sorted(self._folder.glob("*.tmp")):
            self._tell(f"ignored unfinished checkpoint {path.stem}, swept.")
            shutil.rmtree(path, ignore_errors=True)

    def _path(self, step: int) -> Path:
        final = self._folder / f"ckpt-{step:08d}"
        replaced = final.with_suffix(_REPLACED)
        return replaced if replaced.exists() and not final.exists() else final

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            sync_to_disk(self._folder.parent)

    def _put_in_place(self, temporary: Path, final: Path) -> Path | None:
        """Renames it, and returns where the one before lies now, if any.

        The same step comes again after an interrupted evaluation. At each moment one of the two
        lies under a name that is read.
        """
        if not final.exists():
            os.replace(temporary, final)
            return None
        replaced = final.with_suffix(_REPLACED)
        os.replace(final, replaced)
        try:
            os.replace(temporary, final)
        except OSError:
            os.replace(replaced, final)
            raise
        return replaced

    def _describe_failure(
        self, error: OSError, final: Path, arrays: dict[str, np.ndarray]
    ) -> DiskError:
        steps = self.steps()
        kept = f"; ckpt-{steps[-1]:08d} is kept" if steps else ""
        reason = error.strerror or str(error)
        if error.errno not in _NO_ROOM:
            return DiskError(f"cannot write {final}: {reason}{kept}.")
        needed = _BYTES_BESIDE + sum(array.nbytes + _BYTES_PER_ARRAY for array in arrays.values())
        what = "disk full" if error.errno == errno.ENOSPC else reason.lower()
        free = shutil.disk_usage(self._folder.parent).free
        return DiskError(f"{what}: {needed:,} bytes needed, {free:,} free at {final}{kept}.")

    def _delete_unwanted(self, progress: Progress) -> None:
        kept = self.steps()[-self._keep :]
        # The best of older ones too: should the newest be damaged, a run resumes from them.
        wanted = {*kept, *map(self._best_of, kept), *progress.best_steps()}
        for step in set(self.steps()) - wanted:
            self._delete(self._path(step))

    def _best_of(self, step: int) -> int | None:
        """Returns the step of the best evaluation that a checkpoint names, if any."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return read_json(self._path(step) / PROGRESS)["best"]["step"]
        return None

    def _delete(self, path: Path) -> None:
        doomed = path.with_suffix(".deleted.tmp")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def check_finite(arrays: dict[str, np.ndarray], step: int) -> None:
    """Raises DivergedError, with the name, where an array after `step` steps is not finite."""
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
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def _free_name(path: Path) -> Path:
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], others) if not each.exists())


def _describe_seconds(seconds: float) -> str:
    """Returns a span of time in the largest unit that it fills twice; never below 0."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
