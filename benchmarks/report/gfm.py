"""GitHub-flavoured Markdown: text shown as it is, code, tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.report.cells import Cell
from benchmarks.report.columns import Column
from benchmarks.report.formats import NOTHING
from benchmarks.report.sections import Table


def escaped(text: str) -> str:
    """Returns text that Markdown shows as it is, on one line, also within a table."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    # Within a word an underscore is only itself.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def code(text: str) -> str:
    """Returns text as code on one line; its fence is longer than any run of backticks in it."""
    text = " ".join(str(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def code_cell(text: str) -> str:
    """Returns text as code within a table, where a bar would end the cell even in code."""
    return code(text).replace("|", r"\|")


def lines(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int]) -> str:
    """Returns a table; the columns numbered in `texts` are set to the left, others to the right."""
    rule = ["---" if number in texts else "---:" for number in range(len(headers))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headers, rule, *rows))


def table_lines(table: Table) -> str:
    """Returns a table of the report, one line per entry."""
    texts = {number for number, column in enumerate(table.columns) if column.is_text}
    rows = [[_cell(cell) for cell in cells] for _, cells in table.rows]
    return lines([_header(column) for column in table.columns], rows, texts)


def _header(column: Column) -> str:
    return f"{column.header} ({column.unit})" if column.unit else column.header


def _cell(cell: Cell) -> str:
    words = [*([] if cell.text == NOTHING and cell.marks else [escaped(cell.text)])]
    if cell.code:
        words.append(code_cell(cell.code))
    if cell.detail:
        words.append(f"({escaped(cell.detail)})")
    words += [f"**{escaped(mark)}**" for mark in cell.marks]
    return " ".join(words)
