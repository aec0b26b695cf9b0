"""Text of foreign origin, for a terminal and for files in UTF-8."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` on which nothing steers a terminal: what is not printable, a lone surrogate too,
    stands as Python writes it; lines stay.
    """
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )
