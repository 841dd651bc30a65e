"""inspect.html: the findings and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowrate.pages.page import page_environment
from flowrate.text import printable
from input_pipelines.inspect import samples
from input_pipelines.inspect.facts import (
    describe_data,
    describe_files,
    describe_pixels,
    describe_speed,
)
from input_pipelines.inspect.findings import findings, headline
from input_pipelines.inspect.inspection import Inspection
from input_pipelines.inspect.pictures import class_pictures, pixel_pictures, size_pictures

_TEMPLATE = "inspect.html.jinja"
# inspect.json has the rest.
_MAX_FAILURES, _MAX_CLASSES = 500, 1000


def render_page(inspection: Inspection) -> str:
    """Returns the page; every text of the data set is escaped."""
    naming, config = inspection.naming, inspection.config
    environment = page_environment(Path(__file__).parent)
    return environment.get_template(_TEMPLATE).render(
        title=inspection.data.info.title,
        dataset=config.dataset,
        outcome=[headline(inspection), *findings(inspection)],
        command=inspection.command,
        facts=describe_data(inspection),
        failures=[
            (naming.short(example), naming.class_name(example), example.split, failure.reason)
            for example, failure in list(inspection.failures.items())[:_MAX_FAILURES]
        ],
        num_failures=len(inspection.failures),
        splits=list(inspection.counts.by_split),
        class_rows=_class_table(inspection),
        num_classes=len(inspection.counts.class_names),
        class_pictures=class_pictures(inspection.counts),
        samples=samples.class_rows(inspection),
        shape=_shape(inspection),
        file_facts=describe_files(inspection),
        wrong_suffixes=[
            (naming.short(example), kind)
            for example, kind in (inspection.scan.wrong_suffixes if inspection.scan else [])
        ][:_MAX_FAILURES],
        size_pictures=size_pictures(inspection.scan),
        means=samples.mean_row(inspection),
        pixel_facts=describe_pixels(inspection),
        pixel_pictures=pixel_pictures(inspection.pixels),
        extremes=samples.extreme_rows(inspection),
        augmentation=", ".join(inspection.augmentation),
        augmented=samples.augmented_rows(inspection),
        is_mixing=samples.is_mixing(inspection),
        duplicates=samples.duplicate_rows(inspection),
        num_duplicates=len(inspection.duplicates),
        speed_facts=describe_speed(inspection),
    )


def _shape(inspection: Inspection) -> str:
    return " x ".join(map(str, inspection.data.image_shape))


def _class_table(inspection: Inspection) -> list[dict[str, Any]]:
    """Returns, for each class, its name and (examples, share) of each split."""
    counts = inspection.counts
    shares = {split: counts.shares(split) for split in counts.by_split}
    return [
        {
            "name": printable(name),
            "cells": [
                (f"{counts.by_split[split][label]:,}", f"{shares[split][label]:.1%}")
                for split in counts.by_split
            ],
        }
        for label, name in enumerate(counts.class_names[:_MAX_CLASSES])
    ]
