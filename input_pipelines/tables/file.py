"""CSV, TSV and Parquet -> image paths, labels and splits, row by row."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrate.errors import DataError
from flowrate.text import one_line, printable
from input_pipelines.tables.columns import choose_columns
from input_pipelines.tables.embedded_images import images_written_once

SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclasses.dataclass(frozen=True)
class Rows:
    """N rows of a table.

    Attributes:
        paths: of the images; N.
        labels: N texts, or N whole numbers.
        splits: N names, as written; None where no column tells.
        class_names: of the classes 0, 1, ...; empty where the table does not say.
    """

    paths: list[Path]
    labels: Sequence[str | int]
    splits: list[str] | None
    class_names: tuple[str, ...] = ()


def read_rows(path: Path, asked: Mapping[str, str]) -> Rows:
    """Reads a table. Paths in it start from its folder.

    Raises:
        ConfigError: no such column, or several that it could be.
        DataError: no table, or cells that are empty or of another type.
    """
    import pyarrow

    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path, asked)
        return _read_csv(path, asked)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "CSV in UTF-8"
        raise DataError(f"{printable(path)} is no {kind}: {one_line(error)[:160]}.") from None
    except OSError as error:
        reason = error.strerror or one_line(error)[:160]
        raise DataError(f"{printable(path)} cannot be read: {reason}.") from None


def _read_csv(path: Path, asked: Mapping[str, str]) -> Rows:
    import pyarrow
    from pyarrow import csv

    with path.open("rb") as file:
        line = file.readline(2**20)
    separator = max(b",;\t", key=line.count)  # The first of them where there is none.
    parse = csv.ParseOptions(delimiter=chr(separator), newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    chosen = choose_columns(names, asked, path)
    # As they are written: a label of 001 stays that, and NA is a label.
    as_text = dict.fromkeys(names, pyarrow.string())
    table = csv.read_csv(
        path, parse_options=parse,
        convert_options=csv.ConvertOptions(
            column_types=as_text, include_columns=list(filter(None, chosen.values())),
            strings_can_be_null=False,
        ),
    )  # fmt: skip
    return Rows(
        _paths(table, chosen["image"], path), _labels(table, chosen["label"], path),
        _splits(table, chosen["split"], path),
    )  # fmt: skip


def _read_parquet(path: Path, asked: Mapping[str, str]) -> Rows:
    from pyarrow import parquet

    # By default all that was read of the file would stay in memory until its end.
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        schema = file.schema_arrow
        chosen = choose_columns(schema.names, asked, path)
        table = file.read([name for role, name in chosen.items() if name and role != "image"])
        if _holds_bytes(schema.field(chosen["image"]).type):
            paths = images_written_once(path, file, chosen["image"])
        else:
            paths = _paths(file.read([chosen["image"]]), chosen["image"], path)
    labels = _labels(table, chosen["label"], path)
    names = _class_names(schema.metadata, chosen["label"]) if isinstance(labels[0], int) else ()
    return Rows(paths, labels, _splits(table, chosen["split"], path), names)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    is_binary = types.is_binary(kind) or types.is_large_binary(kind)
    return is_binary or (types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _class_names(metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """Returns the names that Hugging Face's `datasets` writes beside the schema, if there are."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[column]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _paths(table: Any, column: str, path: Path) -> list[Path]:
    return [path.parent / name for name in _texts(table, column, path, "image")]


def _splits(table: Any, column: str | None, path: Path) -> list[str] | None:
    return None if column is None else _texts(table, column, path, "split")


def _labels(table: Any, column: str, path: Path) -> list[str] | list[int]:
    from pyarrow import types

    kind = table.schema.field(column).type
    if not types.is_integer(kind) and not types.is_boolean(kind):
        return _texts(table, column, path, "label")
    found = table.column(column).to_pylist()
    if not found or None in found:
        raise _empty(path, column, "label", found.index(None) if found else None)
    return list(map(int, found))


def _texts(table: Any, column: str, path: Path, role: str) -> list[str]:
    """Returns the cells of a column of text, each stripped and not empty."""
    from pyarrow import types

    kind = table.schema.field(column).type
    value_kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(value_kind) or types.is_large_string(value_kind)):
        raise DataError(
            f"{printable(path)}: column {one_line(column)} holds {value_kind}, which is no {role}; "
            f"name another with --columns={role}=NAME."
        )
    found = [(cell or "").strip() for cell in table.column(column).to_pylist()]
    if not found or "" in found:
        raise _empty(path, column, role, found.index("") if found else None)
    return found


def _empty(path: Path, column: str, role: str, row: int | None) -> DataError:
    if row is None:
        return DataError(f"{printable(path)} has no rows.")
    return DataError(
        f"{printable(path)}: the {role} (column {one_line(column)}) of row {row + 1:,} is empty; "
        "fill it in, or remove the row."
    )
