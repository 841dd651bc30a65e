"""Text that can be shown: one line, without control characters, and with secrets masked.

`https://user:password@host/x?token=abc` becomes `https://user:***@host/x?token=***`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

MASK = "***"
# user:password@ or token@, up to the last @ before the path. `Path` makes one slash of the two.
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*:/{1,2})(?P<user>[^\s/@:]*)(?P<rest>[^\s/]*)@")
# ?token=abc, &X-Amz-Signature=abc; and API_TOKEN=abc, --password=abc.
_PARAMETER = re.compile(
    r"((?:[?&;][\w.%-]*(?:sig|key|auth|pass|pwd)|"
    r"(?<![\w.%-])[\w.%-]*(?:token|secret|password|passwd|signature|credential|api_?key|access_?key))"
    r"[\w.%-]*=)[^&;\s'\"]+",
    re.IGNORECASE,
)


def printable(path: str | Path) -> str:
    """Returns a file's name; line breaks, control characters and stray bytes are escaped."""
    return masked(_escaped(os.fsencode(path).decode(errors="backslashreplace")))


def one_line(message: object) -> str:
    """Returns a message as one line without control characters, which a terminal would obey."""
    text = " ".join(str(message).splitlines())
    return masked(_escaped(text.encode(errors="backslashreplace").decode()))


def masked(text: str) -> str:
    """Returns the text with `***` in place of each password, token, key and signature in it."""
    return _PARAMETER.sub(rf"\1{MASK}", _USER.sub(_mask_user, text))


def masked_values(value: Any) -> Any:
    """Returns a JSON-able value with every text in it masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_values(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_values(each) for each in value]
    return value


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _mask_user(match: re.Match[str]) -> str:
    # Without a colon the user may be the token itself.
    user = f"{match['user']}:{MASK}" if match["rest"] else MASK
    return f"{match['scheme']}{user}@"
