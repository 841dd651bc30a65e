"""inspect.html: the record and its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowrate.pages.page import page_environment
from flowrate.text import printable
from input_pipelines.augmentation.names import MIXING
from input_pipelines.inspect import facts
from input_pipelines.inspect.example import short_name
from input_pipelines.inspect.findings import Record, headline
from input_pipelines.inspect.inspection import Inspection
from input_pipelines.inspect.samples import collect_images

_TEMPLATE = "inspect.html.jinja"
# inspect.json has the rest.
_MAX_LISTED, _MAX_CLASSES = 500, 1000


def render_page(inspection: Inspection) -> str:
    """Returns the page; every text of the data set is escaped."""
    record = inspection.record
    rows, thumbnails = collect_images(inspection)
    wrong_suffix = record["files"]["wrong_suffix"] if record["files"] else []
    return page_environment(Path(__file__).parent).get_template(_TEMPLATE).render(
        record=record,
        outcome=[headline(record), *record["findings"]],
        facts=facts.describe(record),
        class_names=[printable(name) for name in record["class_names"][:_MAX_CLASSES]],
        largest_shares=[
            max(each["share"] for each in split["classes"]) for split in record["splits"].values()
        ],
        undecodable=_named(record, record["undecodable"]),
        wrong_suffix=_named(record, wrong_suffix),
        rows=rows,
        thumbnails=thumbnails,
        is_mixing=any(name in MIXING for name in record["augmentation"]),
    )  # fmt: skip


def _named(record: Record, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the first of the entries with a short name and a printable class."""
    folder = record["folder"]
    return [
        {**each, "name": short_name(each, folder), "class": printable(each["class"])}
        for each in entries[:_MAX_LISTED]
    ]
