"""The desk's own numbers in a text, which are never masked (kb: `guard.masking`)."""

from __future__ import annotations

import re
from typing import NamedTuple

from finops_cli.domain import cusip
from finops_cli.guard.normalise import MASKED
from finops_cli.kb.chapters.guard import GuardSettings, Kind

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
DAY = r"[0-9]{1,2}(?:st|nd|rd|th)?"
YEAR = r"(?:19|20)[0-9]{2}"
_WEEKDAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}"
DATE = (
    rf"(?:(?:{_WEEKDAY},?["
    rf" ])?(?:{YEAR}[-./][0-9]{{1,2}}[-./][0-9]{{1,2}}|[0-9]{{1,2}}[-./][0-9]{{1,2}}[-./]"
    rf"(?:{YEAR}|[0-9]{{2}})"
    rf"|{DAY}(?:[- ]?|[ ]of[ ]){MONTH}[- ,.]{{0,2}}[0-9]{{2,4}}|{MONTH}[ .][ ]?{DAY},?[ ]?{YEAR}))"
)
_STAMP = (
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:(?:[01][0-9]"
    r"|2[0-3])[0-5][0-9](?:[0-5][0-9](?:[0-9]{3})?)?)?"
)
_DIGITS = r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,13}(?![0-9])(?:\.[0-9]+)?"
"""A longer run of digits is not an amount: $4111111111111111 is a card number."""
_OF_SECURITY = r"of[ ](?=[A-Z]*[0-9])[A-Z0-9]{9}(?:[A-Z0-9]{3})?(?![^\W_])"
"""As in 5000 of 594918104."""
_MAY_GIVE_WAY: dict[str, frozenset[Kind]] = {
    "cusip": frozenset(("SSN", "ITIN", "ACCOUNT", "PASSPORT", "LICENSE")),
    "stamp": frozenset(("ACCOUNT", "PASSPORT", "LICENSE", "DOB")),
    "date": frozenset(("DOB",)),
    "long_number": frozenset(("CARD", "ACCOUNT")),
    "long_reference": frozenset(("ACCOUNT", "PASSPORT", "LICENSE")),
}
"""The kinds that a token of the desk becomes when their name is right beside it: account 12345678,
date of birth 12/1/1980.
"""

_MAY_BE_PART = frozenset(
    ("time", "reference", "long_reference", "number", "date", "stamp", "cusip", "t_plus")
)
"""The tokens that may be a part of a longer number whose name is right beside it: the time in date
of birth 12:05:1980.
"""


class Token(NamedTuple):
    start: int
    end: int
    what: str

    def gives_way_to(self, kind: Kind) -> bool:
        """Return true if a name of `kind` directly beside the token outweighs it."""
        return kind in _MAY_GIVE_WAY.get(self.what, ())

    @property
    def may_be_part(self) -> bool:
        """Return true if a longer number with its name right beside it may contain the token."""
        return self.what in _MAY_BE_PART


def pattern(settings: GuardSettings) -> re.Pattern[str]:
    """Make the regex of all tokens; the units of `guard.words_units` mark quantities."""
    units = "|".join(map(re.escape, sorted(settings.units)))
    edge, after = rf"(?<![^\W_])(?<![^\W_][.,])(?<!{MASKED})", r"(?![^\W_])(?![.,][0-9])"
    return re.compile(
        rf"{edge}(?:"
        rf"(?P<dtc>DTCC?[ ]?[-#:]?[ ]?[0-9]{{1,5}}){after}"
        rf"|(?P<t_plus>T[ ]?\+[ ]?[0-9]{{1,3}}){after}"
        rf"|(?P<quantity>(?:{_DIGITS})(?=[ ]?(?:(?:{units})(?!-?[^\W_])|%|@["
        rf" 0-9$]|{_OF_SECURITY})))"
        rf"|(?P<date>{DATE}){after}"
        rf"|(?P<stamp>{_STAMP}){after}"
        rf"|(?P<time>[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?){after}"
        rf"|(?P<reference>[A-Z]{{1,4}}-[0-9]{{3,4}}(?![-.]?[0-9])){after}"
        rf"|(?P<long_reference>[A-Z]{{1,4}}-[0-9]{{5,6}}(?![-.]?[0-9])){after}"
        rf"|(?P<long_number>[0-9]{{4,8}}\.[0-9]{{3,8}}){after}"
        rf"|(?P<number>[0-9]{{1,3}}(?:,[0-9]{{3}})+(?:\.[0-9]+)?[KMB]?|"
        rf"(?![2-9][0-9]{{2}}\.[0-9]{{7}}(?![0-9]))[0-9]+\.[0-9]+[KMB]?){after}"
        rf"|(?P<isin>[A-Z]{{2}}[A-Z0-9]{{9}}[0-9]){after}"
        rf"|(?P<cusip>[0-9A-Z]{{8}}[0-9]){after}"
        r")"
        rf"|(?P<amount>(?:[$€£¥]|(?<![^\W_])(?:USD|EUR|GBP)[ ])[ ]?(?:{_DIGITS})(?:["
        r" ]?(?:K|MM?|BN?|mio)(?![^\W_]))?)(?![0-9])",
        re.IGNORECASE,
    )


def tokens(text: str, wanted: re.Pattern[str]) -> list[Token]:
    """Find the desk's tokens in text order, without overlaps; a CUSIP or an ISIN needs the right
    check digit.
    """
    found = (
        Token(match.start(), match.end(), match.lastgroup or "") for match in wanted.finditer(text)
    )
    return [token for token in found if _checks(text[token.start : token.end].upper(), token.what)]


def _checks(token: str, what: str) -> bool:
    return (what != "cusip" or cusip.is_valid(token)) and (what != "isin" or _is_isin(token))


def _is_isin(isin: str) -> bool:
    """Verify the check digit: letters as two digits, every second digit from the right
    doubled, sums of ten.
    """
    digits = "".join(str(cusip.ALPHABET.index(sign)) for sign in isin)
    return luhn(digits)


def luhn(digits: str) -> bool:
    """Verify the last digit of `digits` (ISO/IEC 7812-1, modulus 10)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
