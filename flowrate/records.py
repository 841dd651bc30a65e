"""What a run writes down: JSON files that are whole or absent, and JSON lines that are appended."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flowrate.errors import DiskError

_LARGEST_RECORD_BYTES = 2**26


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError inside the block into a DiskError that names `path` and the reason."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror or error}.") from error


def sync_to_disk(path: Path) -> None:
    """Asks the system to bring a file or folder to the disk itself (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any) -> str:
    """Returns readable JSON. NaN and infinity are refused: JSON has no word for them."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to; once the block is done, it takes the place of `path` in one go.

    Raises:
        DiskError: the file cannot be written; what was at `path` is still there.
    """
    temporary = path.with_name(f"{path.stem}.tmp{path.suffix}")
    try:
        with disk_errors(path):
            yield temporary
            sync_to_disk(temporary)
            os.replace(temporary, path)
            sync_to_disk(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new one, never a part.

    Raises:
        DiskError: the file cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON, whole or not at all; see `write_text`."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON, nested without end, or larger than any record.
    """
    if path.stat().st_size > _LARGEST_RECORD_BYTES:
        raise ValueError(f"larger than {_LARGEST_RECORD_BYTES:,} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from None


def append_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Appends one line of JSON per row, after a line cut short by a crash on a line of its own.

    Raises:
        DiskError: the file cannot be written; none of the rows is in it.
    """
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with disk_errors(path), path.open("ab", buffering=0) as file:
        size = path.stat().st_size
        rest = (f"\n{text}" if _ends_within_a_line(path) else text).encode()
        try:
            while rest:  # A disk that fills up takes a part.
                rest = rest[file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # What went wrong first is what counts.
                file.truncate(size)
            raise


def read_json_lines(
    path: Path, tell: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Returns the rows of a JSON lines file, as iterate_json_lines does."""
    return list(iterate_json_lines(path, tell))


def iterate_json_lines(
    path: Path, tell: Callable[[str], None] = lambda line: None
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a JSON lines file, a line in memory at a time; passes over what is no row.

    Args:
        path: of the file; where there is none there are no rows.
        tell: takes one line if any was passed over, such as a last one cut short by a crash.
    """
    if not path.exists():
        return
    num_lines = num_rows = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            num_lines += 1
            if (row := _parse_row(line)) is not None:
                num_rows += 1
                yield row
    if num_rows < num_lines:
        tell(f"warning: {num_lines - num_rows} of {num_lines} lines of {path} cannot be read.")


def keep_json_lines(path: Path, is_kept: Callable[[dict[str, Any]], bool]) -> None:
    """Leaves only some rows of a JSON lines file, and no line that is no row.

    Raises:
        DiskError: the file cannot be written; it is as it was.
    """
    if not path.exists():
        return
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in iterate_json_lines(path):
            if is_kept(row):
                file.write(json.dumps(row) + "\n")


def _parse_row(line: str) -> dict[str, Any] | None:
    try:
        # Strict, as it was written: NaN and infinity are no JSON.
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):  # The second for brackets in brackets in brackets.
        return None
    return row if isinstance(row, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _ends_within_a_line(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
