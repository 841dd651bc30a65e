"""Images that lie in a Parquet file, written once into files of their own in the user's cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowrate.errors import DataError
from flowrate.text import printable
from input_pipelines.fetch.download import cache_folder
from input_pipelines.fetch.partial import delete_abandoned, partial_folder
from input_pipelines.progress import Progress

# Of so many rows the images are in memory at once.
_ROWS_AT_ONCE = 16
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}


def images_written_once(path: Path, file: Any, column: str) -> list[Path]:
    """Returns the image files of a column, in the order of its rows.

    They are written whole or not at all, for each state of the Parquet file (its place, size and
    time of writing) once; memory holds some rows at a time.

    Args:
        file: the pyarrow.parquet.ParquetFile.
        column: of bytes, or of {bytes, path} as Hugging Face writes images; where the bytes are
            null, the path counts, from the Parquet file's folder.

    Raises:
        DataError: a row holds no image, or the cache cannot be written.
    """
    facts = path.stat()
    state = (os.fspath(path.resolve()), facts.st_size, facts.st_mtime_ns, column)
    digest = hashlib.sha256(repr(state).encode(errors="surrogateescape")).hexdigest()[:16]
    folder = cache_folder("tables") / digest
    if not folder.is_dir():
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            delete_abandoned(folder.parent)
            with partial_folder(folder) as private:
                _write_all(path, file, column, private)
                private.rename(folder)
        except OSError as error:
            if not folder.is_dir():  # Another process may have been first.
                raise DataError(
                    f"the images in {printable(path)} cannot be written to {printable(folder)}: "
                    f"{error.strerror or error}; make room there, or set XDG_CACHE_HOME to a "
                    "folder that has some."
                ) from None
    written = {name.partition(".")[0]: folder / name for name in os.listdir(folder)}
    rows = [f"{row:08d}" for row in range(file.metadata.num_rows)]
    if len(written) < len(rows):
        for row, (content, name) in zip(rows, _cells(file, column)):
            # One that somebody has deleted is not there, and named so.
            written.setdefault(row, folder / row if content else path.parent / (name or row))
    return [written[row] for row in rows]


def _write_all(path: Path, file: Any, column: str, folder: Path) -> None:
    with Progress() as progress:
        progress.start(f"writing the images in {path.name}", file.metadata.num_rows)
        for row, (content, name) in enumerate(_cells(file, column)):
            progress.advance(1)
            if content is not None:
                suffix = _SUFFIXES.get(content[:2], "")
                (folder / f"{row:08d}{suffix}").write_bytes(content)
            elif not name:
                raise DataError(
                    f"{printable(path)}: row {row + 1:,} holds no image; remove the row."
                )


def _cells(file: Any, column: str) -> Iterator[tuple[bytes | None, str | None]]:
    """Yields (its bytes, its path) of each row; either may be None."""
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column]):
        for cell in batch.column(0).to_pylist():
            if isinstance(cell, dict):
                yield cell.get("bytes"), cell.get("path")
            else:
                yield cell, None
