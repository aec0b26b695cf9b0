"""Finds in a file whether its comma groups digits, where the mapping does not say so.

`12,000` is twelve thousand in the United States and twelve in most of Europe. Other numbers of the
file decide: `2.1` and `1,234,567` are written in the United States, `6,5` and `1.234.567` are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from finops_cli.importers.mapped_rows.number_text import NumberFault, parse_number

_IN_DOUBT = re.compile(r"[^0-9]*[1-9][0-9]{0,2},[0-9]{3}[^0-9]*")
_OTHER = re.compile(r"[^0-9.,]")


class Comma(Enum):
    """The use of the comma in a number."""

    GROUPS = "it groups digits"
    IS_DECIMAL = "it is the decimal mark"
    UNKNOWN = "it may be either"


class Sighting(NamedTuple):
    """A number of the file."""

    line: int
    column: str
    text: str


def is_in_doubt(text: str) -> bool:
    """Return true for a number with one comma and three digits behind it."""
    return "," in text and _IN_DOUBT.fullmatch(text) is not None


def weigh(text: str) -> Comma:
    """Return what a number says about the comma of its file."""
    try:
        parse_number(text, None)
    except NumberFault as fault:
        is_decimal = fault.marks is not None and fault.marks.decimal == ","
        return Comma.IS_DECIMAL if is_decimal else Comma.UNKNOWN
    body = _OTHER.sub("", text)
    return Comma.GROUPS if "." in body or body.count(",") > 1 else Comma.UNKNOWN


def find_contradiction(numbers: Iterable[Sighting]) -> Sighting | None:
    """Return the first number in which the comma is decimal, unless another one shows groups.

    Reading stops at the first number that shows groups.
    """
    first = None
    for each in numbers:
        found = weigh(each.text)
        if found is Comma.GROUPS:
            return None
        if found is Comma.IS_DECIMAL and first is None:
            first = each
    return first


class CommaDoubt:
    """Looks through a file once, when the first number in doubt is met."""

    def __init__(self, numbers: Iterator[Sighting]) -> None:
        """Keep the numbers of the file; they are read when they are needed."""
        self._numbers = numbers
        self._is_settled = False
        self._found: Sighting | None = None

    def contradiction(self) -> Sighting | None:
        """Return the number that shows a decimal comma in this file; None where none does."""
        if not self._is_settled:
            self._found, self._is_settled = find_contradiction(self._numbers), True
        return self._found
