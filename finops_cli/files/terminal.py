"""Makes text from outside safe for a terminal and for files in UTF-8."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape everything in `text` that could steer a terminal, and lone surrogates.

    Newlines stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )
