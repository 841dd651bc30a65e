"""HTML pages of one file: what reports and looks at data have in common."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

_FOLDER = Path(__file__).parent


def page_environment(folder: Path) -> jinja2.Environment:
    """Returns what renders the templates of a folder, which extend `page.html.jinja`.

    Every text that is put in is escaped; a name that is not given is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["svg_width"] = _svg_width
    environment.filters["flags_as_code"] = _flags_as_code
    return environment


def png_address(png: bytes) -> str:
    """Returns the address of a PNG that the page itself holds, for `<img src>`."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _svg_width(drawing: str) -> str:
    """Returns the width of a drawing in its own units, which a page shows as pixels."""
    found = re.search(r'viewBox="\S+ \S+ (\S+) ', drawing)
    assert found is not None  # matplotlib writes one.
    return found.group(1)


def _flags_as_code(text: str) -> Markup:
    """Returns a text, escaped, whose flags are not broken over lines."""
    return Markup(re.sub(r"--\w[\w=.]*\w", r"<code>\g<0></code>", str(escape(text))))
