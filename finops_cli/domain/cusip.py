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


_PAIRS = {
    first + second: _digit_sum(odd) + _digit_sum(even * 2)
    for odd, first in enumerate(ALPHABET)
    for even, second in enumerate(ALPHABET)
}
"""The sum that a character in an odd place and its doubled neighbour add up to."""


def check_digit(first_eight: str) -> str:
    """Compute the check digit that follows eight characters (from `ALPHABET`), by modulus-10
    double-add-double.
    """
    c = first_eight
    return str(-(_PAIRS[c[0:2]] + _PAIRS[c[2:4]] + _PAIRS[c[4:6]] + _PAIRS[c[6:8]]) % 10)


def is_valid(cusip: str) -> bool:
    """Return true when `cusip` has nine characters of the alphabet and the right check digit."""
    return _WELL_FORMED.fullmatch(cusip) is not None and ends_right(cusip)


def ends_right(well_formed: str) -> bool:
    """Return true when the check digit of a well-formed CUSIP is right."""
    return check_digit(well_formed) == well_formed[8]
