"""The result of masking a text, and the protocol of its readers."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

MAY_HOLD = re.compile(r"[0-9@]|[\[({<][ ]?at[ ]?[\])}>]|(?-i:[ ]AT[ ])", re.IGNORECASE)
"""Every form of personal data has one of these; most notes have none."""
WITHHELD = "WITHHELD"
"""Stands for a text that nobody could read first, as `[WITHHELD]`, and among what was masked."""
PLACEHOLDER = f"[{WITHHELD}]"


class Masked(NamedTuple):
    """`kinds`: what was found, each once, in the order of `Kind`; a placeholder that stood there
    already is not among them.
    """

    text: str
    kinds: tuple[str, ...]


class Reader(Protocol):
    """Who reads texts: the guard, or nobody."""

    reads: bool

    def mask(self, text: str) -> Masked: ...

    def mask_reference(self, text: str) -> Masked: ...


class NoDetector:
    """There is no guard: a text that may hold personal data is withheld whole.

    References stand: they are names.
    """

    reads = False

    def mask(self, text: str) -> Masked:
        return (
            Masked(PLACEHOLDER, (WITHHELD,))
            if MAY_HOLD.search(text) and text != PLACEHOLDER
            else Masked(text, ())
        )

    def mask_reference(self, text: str) -> Masked:
        return Masked(text, ())
