"""CUSIP: nine characters that name a US security, the last a check digit (kb:
`cusip.check_digit`).
"""

from __future__ import annotations

import re

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#"
PATTERN = r"^[0-9A-Z*@#]{8}[0-9]$"
_WELL_FORMED = re.compile(r"[0-9A-Z*@#]{8}[0-9]")


def _digit_sum(number: int) -> int:
    return sum(divmod(number, 10))


_PLAIN = {character: _digit_sum(value) for value, character in enumerate(ALPHABET)}
"""The summand of a character in an odd place."""
_DOUBLED = {character: _digit_sum(value * 2) for value, character in enumerate(ALPHABET)}
"""The summand of a character in an even place, whose value is doubled."""


def _sum(nine: str) -> int:
    a, b, c, d, e, f, g, h, last = tuple(nine)
    plain = _PLAIN[a] + _PLAIN[c] + _PLAIN[e] + _PLAIN[g] + _PLAIN[last]
    return plain + _DOUBLED[b] + _DOUBLED[d] + _DOUBLED[f] + _DOUBLED[h]


def check_digit(first_eight: str) -> str:
    """Compute the check digit that follows eight characters (from `ALPHABET`), by modulus-10
    double-add-double: the sum of all nine is a multiple of ten.
    """
    return str(-_sum(first_eight + "0") % 10)


def is_valid(cusip: str) -> bool:
    """Return true when `cusip` has nine characters of the alphabet and the right check digit."""
    return _WELL_FORMED.fullmatch(cusip) is not None and ends_right(cusip)


def ends_right(well_formed: str) -> bool:
    """Return true when the check digit of a well-formed CUSIP is right."""
    return _sum(well_formed) % 10 == 0
