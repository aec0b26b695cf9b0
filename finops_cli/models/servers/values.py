"""Values that a server sends, as texts and counts that finops can pass on."""

from __future__ import annotations

import json
from typing import Any

_TEXT_CHARS = 1_000
LARGEST = 2**53
"""The largest whole number that every JSON reader accepts."""


def text(value: object) -> str | None:
    """Return a server's `value` as one line that every terminal and file accepts.

    Returns None if it is not a text, or is empty.
    """
    if not isinstance(value, str) or not value:
        return None
    return "".join(
        character if character.isprintable() else "\ufffd" for character in value[:_TEXT_CHARS]
    )


def whole(value: object) -> int | None:
    """Return a server's `value` as a count that every JSON reader accepts; None if it is not a
    count.
    """
    return (
        int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST
        else None
    )


def parse_json(body: bytes) -> Any:
    """Parse the JSON in `body`.

    Raises ValueError, also for deeply nested values.
    """
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
