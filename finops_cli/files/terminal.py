"""Makes text from outside safe for a terminal and for files in UTF-8."""

from __future__ import annotations

import os


def printable(text: str) -> str:
    """Escape everything in `text` that could steer a terminal, and lone surrogates.

    Newlines stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )


def name_in_utf8(name: str) -> str:
    """Return the name of a file for a text in UTF-8; other bytes become `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
