"""Finds what the header of a column may mean (kb: `import.headers` and its neighbours)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from finops_cli.kb.chapters.imports import Headers, ImportSettings

_SIGNS = {
    "#": " no ",
    "\N{NUMERO SIGN}": " no ",
    "%": " pct ",
    "US$": " usd ",
    "$": " usd ",
    "'": "",
}
_WORDS = re.compile(r"\w+")
_INNER_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DOLLAR = "usd"
_ONE = Decimal(1)


class Match(NamedTuple):
    """A field that a header may give. A lower rank is a better match."""

    field: str
    rank: int
    is_weak: bool


class Meaning(NamedTuple):
    """The fields that a header may give, and its unit."""

    matches: tuple[Match, ...]
    reason: str
    """Why the column is not a field of a record; empty if nothing is known against it."""
    scale: Decimal
    """The number by which the unit in the header multiplies the cells."""
    currency: str
    """The currency in the header, where it is not the US dollar; or empty."""
    says_dollar: bool
    says_percent: bool


class HeaderIndex:
    """Finds the meanings of headers."""

    def __init__(self, words: ImportSettings) -> None:
        self._words = words
        self._fields: dict[str, list[Match]] = {}
        self._reasons: dict[str, str] = {}
        self._add(words.headers, is_weak=False)
        self._add(words.weak_headers, is_weak=True)
        for reason, headers in words.other_headers.items():
            for header in headers:
                self._reasons.setdefault("".join(self.split(header)), reason)

    def _add(self, headers: Headers, *, is_weak: bool) -> None:
        for field, names in headers.items():
            for rank, name in enumerate(names):
                for form in {
                    "".join(self.split(name)),
                    "".join(_list_words(name)),
                    self._sort(name),
                }:
                    known = self._fields.setdefault(form, [])
                    if field not in {match.field for match in known}:
                        known.append(Match(field, rank, is_weak))

    def split(self, header: str) -> list[str]:
        """Return the words of a header, in lower case, with short forms written out."""
        written = (self._words.header_words.get(word, word) for word in _list_words(header))
        return " ".join(written).split()

    def _sort(self, header: str) -> str:
        """Return the words of a header in a fixed order: `Box Avail` is `Avail Box`."""
        return " ".join(sorted(self.split(header)))

    def find(self, header: str) -> Meaning:
        """Return what a header may mean, with and without its unit."""
        words = self.split(header)
        units = [self._words.units[word] for word in words if word in self._words.units]
        currencies = [word.upper() for word in words if self._is_foreign(word)]
        bare = [
            word
            for word in words
            if word not in self._words.units and word != _DOLLAR and not self._is_foreign(word)
        ]
        given = _list_words(header)
        forms = dict.fromkeys("".join(form) for form in (words, given, bare) if form)
        forms[self._sort(" ".join(bare))] = None
        matches = next((self._fields[form] for form in forms if form in self._fields), [])
        reason = next((self._reasons[form] for form in forms if form in self._reasons), "")
        return Meaning(
            tuple(matches),
            reason,
            units[0] if units else _ONE,
            currencies[0] if currencies else "",
            _DOLLAR in words,
            "pct" in words,
        )

    def knows(self, header: str) -> bool:
        """Return true when a header is in the knowledge base."""
        meaning = self.find(header)
        return bool(meaning.matches or meaning.reason)

    def _is_foreign(self, word: str) -> bool:
        return word.upper() in self._words.currencies or word in self._words.currencies


def _list_words(header: str) -> list[str]:
    """Return the words of a header in lower case; `FailQty` and `FAIL_QTY` have two."""
    text = header
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    if not text.isupper():
        text = _INNER_CAPITAL.sub(" ", text)
    return _WORDS.findall(text.casefold().replace("_", " "))
