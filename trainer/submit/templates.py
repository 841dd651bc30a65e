"""The templates of job files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jinja2


def render(name: str, **values: Any) -> str:
    """Returns a template of this folder, filled in.

    In it `| quote` makes one word for a shell, and `| text` JSON, which is YAML that no reader
    takes for anything else: of a text, a number that stays a text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    environment.filters["text"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template(name).render(values)
