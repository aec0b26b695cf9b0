"""CUSIP: nine characters that name a US security, the last a check digit (kb: `cusip.check_digit`)."""

from __future__ import annotations

import re
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#"
PATTERN = r"^[0-9A-Z*@#]{8}[0-9]$"
_WELL_FORMED = re.compile(r"[0-9A-Z*@#]{8}[0-9]")


def _digit_sums(factor: int) -> bytes:
    table = bytearray(256)
    for value, character in enumerate(ALPHABET):
        table[ord(character)] = sum(divmod(value * factor, 10))
    return bytes(table)


_SINGLE, _DOUBLE = _digit_sums(1), _digit_sums(2)


def check_digit(first_eight: str) -> str:
    """The check digit of the eight characters (from `ALPHABET`) that precede it, by modulus-10 double-add-double."""
    issue = first_eight.encode("ascii")
    total = sum(issue[0::2].translate(_SINGLE)) + sum(issue[1::2].translate(_DOUBLE))
    return str(-total % 10)


@lru_cache(maxsize=8192)
def is_valid(cusip: str) -> bool:
    """Whether `cusip` has nine characters of the alphabet and the right check digit."""
    return _WELL_FORMED.fullmatch(cusip) is not None and check_digit(cusip[:8]) == cusip[8]
