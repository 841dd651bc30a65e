"""Tables of a page, whose headers sort them: `table_of` of tables.html.jinja shows one."""

from __future__ import annotations

import dataclasses
import re

from markupsafe import Markup


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's header.

    Attributes:
        title: of the column.
        unit: below it, in small print; may be empty.
        meaning: for who reads the page, in a sentence.
        is_text: set to the left, not to the right as figures are.
        is_sentence: text that is long and broken into lines.
    """

    title: str
    unit: str = ""
    meaning: str = ""
    is_text: bool = False
    is_sentence: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: the figure; may be empty beside marks.
        detail: what goes with it, in small print: an interval, a count.
        code: a flag to type.
        sort: what the column sorts by; None goes last in either direction.
        marks: words that need attention, such as "noisy".
    """

    text: str = ""
    detail: str = ""
    code: str = ""
    sort: float | str | None = None
    marks: tuple[str, ...] = ()

    @property
    def sort_key(self) -> str:
        """A number with all its digits, a text, or nothing."""
        return "" if self.sort is None else str(self.sort)

    @property
    def breakable(self) -> Markup:
        """The text, escaped, as a name that may break after its joints on a narrow page."""
        return Markup("<wbr>").join(re.findall(r"[^-_/]*[-_/]*", self.text))


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: for those who cannot see it; a page may show it too.
        columns: their headers.
        rows: a cell for each column; the first names the row.
        highlighted: numbers of the rows that stand out.
    """

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    highlighted: frozenset[int] = frozenset()
