"""The result of masking a text, and the protocol of a masker."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

_ADDRESS = (
    r"@|[\[({<][ ]?(?:at|\u00e4t|arobase|arroba|chiocciola)[ ]?[\])}>]|(?-i:[ ]AT[ ])|[ _-]dot[ _-]"
    r"|[-_]at[-_]|[ ]at[ ][^\W_]\S{1,60}\.[a-z]"
)
HOLDS_ADDRESS = re.compile(_ADDRESS, re.IGNORECASE)
MAY_HOLD = re.compile(f"[0-9]|{_ADDRESS}", re.IGNORECASE)
"""Every form of personal data has one of these; most notes have none."""
WITHHELD = "WITHHELD"
"""Stands for a text that nobody could read first, as `[WITHHELD]`, and among what was masked."""
PLACEHOLDER = f"[{WITHHELD}]"


class Masked(NamedTuple):
    """A masked text.

    `kinds` names each kind of data found, once, in the order of `Kind`. Placeholders that were in
    the text before do not count.
    """

    text: str
    kinds: tuple[str, ...]


class Reader(Protocol):
    """Something that masks texts: the guard, or its substitute when it is not installed."""

    reads: bool

    def mask(self, text: str) -> Masked: ...

    def mask_reference(self, text: str) -> Masked: ...


class NoDetector:
    """The substitute for a guard that is not installed: it withholds a text that may hold personal
    data.

    References are kept, because they are names.
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
