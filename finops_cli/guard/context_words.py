"""The words before and behind a number, by which its text names it (kb: `guard.words_*`,
`guard.reach`, `guard.context`).
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from finops_cli.guard.normalise import Reading
from finops_cli.kb.chapters.guard import GuardSettings, Kind

DESK: Final = "DESK"
Beside = Literal["adjacent", "joined", "near", "desk", "none"]
"""`joined`: to what was masked, by and."""
_SENTENCE_END = re.compile(r"[^\W_]{4,}[)\"']?[.;!?][ \n]|\n")
"""A full stop behind a word of four letters or more, which acct. and tel. are not; or a line
end.
"""
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BEHIND = re.compile(
    r"[ ]?[(\[][ ]?|[ ](?:is|was|are)["
    r" ](?:(?:his|her|their|the|a|an|our|my|client's|customer's)[ ])?",
    re.IGNORECASE,
)
_NAMES_NOTHING_MORE = re.compile(r"[,;!?)]|\.?\Z|\.[ ](?![0-9])")
_NAMED_BEHIND = frozenset(("SSN", "ITIN", "PASSPORT", "LICENSE", "DOB", "IBAN"))
"""As in 912701234 ITIN.

Not accounts and telephones: in 5000000 account, and 2500000 call, a quantity stands before the
word.
"""
_AND = re.compile(r"[ \n]?(?:and|or|&|/)[ \n]?", re.IGNORECASE)


class Mark(NamedTuple):
    """A word that names a number, or a masked number that names the one after it.

    `place` is `end` counted with everything masked before it as one character.
    """

    start: int
    end: int
    place: int
    kinds: frozenset[str]
    masked: bool = False


class Vocabulary:
    """The words of the knowledge base as compiled patterns."""

    def __init__(self, settings: GuardSettings) -> None:
        kinds: dict[str, set[str]] = {word.lower(): {DESK} for word in settings.desk}
        for kind, words in settings.names.items():
            for word in words:
                kinds.setdefault(word.lower(), set()).add(kind)
        self.kinds = {word: frozenset(meant) for word, meant in kinds.items()}
        self.names = re.compile(rf"(?<![^\W_])(?:{_one_of(kinds)})(?![^\W\d_])")
        self.linked = _linked(r"[\s:#=_*(\[\"'/-]", settings.linking)
        self.desk_linked = _linked(r"[ :#=_*(\[\"'/]|-(?![ ])", settings.desk_linking)
        self.reach = settings.reach

    def marks(self, reading: Reading) -> Iterator[Mark]:
        """Find every name and every placeholder in the text, in order."""
        found = [
            Mark(
                match.start(),
                match.end(),
                match.end(),
                self.kinds[match.group().replace("\n", " ")],
            )
            for match in self.names.finditer(reading.text.translate(_SMALL))
        ]
        found += [
            Mark(at, at + 1, at + 1, frozenset((kind,)), masked=True)
            for at, kind in reading.placeholders.items()
        ]
        return iter(sorted(found))


def _linked(marks: str, words: frozenset[str]) -> re.Pattern[str]:
    """Make a pattern for the text between a name and its number; a full stop is allowed only
    directly after the name or a word.
    """
    return re.compile(
        rf"\.?(?:{marks}|(?<![^\W\d_])(?:{_one_of(words)})(?![^\W\d_])\.?)*", re.IGNORECASE
    )


def _one_of(words: Iterable[str]) -> str:
    """Make a pattern for any of `words`, the longest first; a blank in a word matches any blank."""
    return "|".join(
        re.escape(word).replace(r"\ ", r"\s")
        for word in sorted(words, key=lambda word: (-len(word), word))
    )


class Surroundings:
    """The marks of one text in reading order: `pass_to` moves to a place, `beside` judges a number
    there.
    """

    def __init__(self, reading: Reading, vocabulary: Vocabulary) -> None:
        self._text, self._vocabulary = reading.text, vocabulary
        self._all = list(vocabulary.marks(reading))
        self._starts = [mark.start for mark in self._all]
        self._next = 0
        self._passed: list[Mark] = []
        self._shrunk = 0
        self._masked_to = 0

    def pass_to(self, place: int) -> None:
        """Read the names that end at or before `place`.

        Masked text names nothing.
        """
        while self._next < len(self._all) and self._all[self._next].end <= place:
            mark = self._all[self._next]
            self._next += 1
            if mark.start >= self._masked_to:
                self._passed.append(mark._replace(place=mark.end - self._shrunk))

    def mask(self, start: int, end: int, kind: Kind) -> None:
        """Note that `start` to `end` will be masked; it names a number that `and` joins to it."""
        self._shrunk += end - start - 1
        self._masked_to = end
        while self._passed and self._passed[-1].end > start:
            self._passed.pop()
        self._passed.append(Mark(start, end, end - self._shrunk, frozenset((kind,)), masked=True))

    def beside(self, start: int, end: int, kind: Kind) -> Beside:
        """Judge the number at `start` to `end`, a candidate of `kind`, by the nearest names."""
        if self._named_behind(end, kind):
            return "adjacent"
        nearest = True
        for mark in reversed(self._passed):
            if start - self._shrunk - mark.place > self._vocabulary.reach["before"]:
                break
            if mark.end > start:
                continue
            if nearest and kind in mark.kinds and self._leads(mark, start):
                return "joined" if mark.masked else "adjacent"
            if nearest and DESK in mark.kinds and self._is_the_desks(mark, start):
                return "desk"
            if (
                kind in mark.kinds
                and not mark.masked
                and not _SENTENCE_END.search(self._text, mark.end, start)
            ):
                return "near"
            nearest = False
        return "adjacent" if self._closes(end, kind) else "none"

    def _closes(self, end: int, kind: Kind) -> bool:
        """Return true if the name ends its clause, as in 123456789 SSN; then it names no later
        number.
        """
        at = bisect_left(self._starts, end)
        mark = self._all[at] if at < len(self._all) and kind in _NAMED_BEHIND else None
        if (
            mark is None
            or mark.masked
            or kind not in mark.kinds
            or self._text[end : mark.start] != " "
        ):
            return False
        return _NAMES_NOTHING_MORE.match(self._text, mark.end) is not None

    def _leads(self, mark: Mark, start: int) -> bool:
        """Return true if only linking words lie between `mark` and `start`."""
        between = _AND if mark.masked else self._vocabulary.linked
        return between.fullmatch(self._text, mark.end, start) is not None

    def _is_the_desks(self, mark: Mark, start: int) -> bool:
        """Return true if `mark` names a number of the desk, in one sentence and line."""
        linked = self._vocabulary.desk_linked.fullmatch(self._text, mark.end, start)
        return linked is not None and not _SENTENCE_END.search(self._text, mark.start, start)

    def _named_behind(self, end: int, kind: Kind) -> bool:
        """Return true if a name after the number belongs to it: 123456789 (SSN), (123456789 SSN),
        123456789 is his SSN.

        A name that merely follows may belong to the next number.
        """
        at = bisect_left(self._starts, end)
        mark = self._all[at] if at < len(self._all) else None
        if (
            mark is None
            or mark.masked
            or kind not in mark.kinds
            or mark.start - end > self._vocabulary.reach["after"]
        ):
            return False
        closed = self._text[end : mark.start] == " " and self._text[mark.end : mark.end + 1] in (
            ")",
            "]",
        )
        return closed or _BEHIND.fullmatch(self._text, end, mark.start) is not None


class Unnamed(Surroundings):
    """The surroundings of a text without naming words, such as a reference."""

    def beside(self, start: int, end: int, kind: Kind) -> Beside:
        return "none"
