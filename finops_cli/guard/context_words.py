"""The words before and behind a number, by which its text names it (kb: `guard.words_*`,
`guard.reach`, `guard.context`).
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from finops_cli.guard.normalise import Reading
from finops_cli.kb.chapters.guard import GuardSettings, Kind

DESK: Final = "DESK"
_STRONG_END = re.compile(r"[^\W_]{4,}[)\"']?(?:[;!?][ ]|\.[ ](?=[A-Z0-9(]|\Z))|\n(?!\Z)")
"""After a strong name a small letter behind a full stop goes on: taxpayer ident. no. 123456789."""
Beside = Literal["adjacent", "joined", "close", "near", "desk", "none"]
"""`joined`: to what was masked, by and. `close`: after a comma, or after a few words."""
_STRONG = frozenset(("SSN", "ITIN", "CARD", "IBAN", "PASSPORT", "LICENSE", "DOB"))
"""Kinds whose names mean nothing else on a desk, so that a comma or a few words may stand between;
account and call stand before quantities too.
"""
_SENTENCE_END = re.compile(r"[^\W_]{4,}[)\"']?[.;!?][ \n]|\n")
"""A full stop behind a word of four letters or more, which acct. and tel. are not; or a line
end.
"""
_FOLDED = str.maketrans(
    {
        chr(code): base.lower()
        for code in range(ord("A"), ord("\u0180"))
        if (base := unicodedata.normalize("NFD", chr(code))[0]) in string.ascii_letters
    }
    | {"\u00df": "s"}
)
"""Letters without their accents, one for one: the words of the knowledge base are ASCII."""
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
        kinds: dict[str, set[str]] = {}
        for kind, words in ((DESK, settings.desk), *settings.names.items()):
            for word in words:
                kinds.setdefault(_squeeze(word), set()).add(kind)
        self._kinds = {word: frozenset(meant) for word, meant in kinds.items()}
        self._stems = [
            (re.compile(_one_of((word,))), self._kinds[_squeeze(word)])
            for word in sorted(settings.desk.union(*settings.names.values()))
            if "*" in word
        ]
        words = settings.desk.union(*settings.names.values())
        self.names = re.compile(
            rf"(?<![^\W_])(?P<name>{_one_of(words)})(?:{_one_of(settings.glued)})?(?:'s)?(?![^\W\d_])"
        )
        marks = r"[ \n:#=_*(\[\"'/|<>~\u00b0\u2116\u2026-]"
        self.linked = _linked(marks, settings.linking)
        self.loosely_linked = _linked(r"[\W_]", settings.linking)
        self.desk_linked = _linked(r"[ :#=_*(\[\"'/]|-(?![ ])", settings.desk_linking)
        self.reach = settings.reach

    def marks(self, reading: Reading, folded: str) -> Iterator[Mark]:
        """Find every name and every placeholder in the text, in order."""
        found = [
            Mark(match.start(), match.end(), match.end(), self._kinds_of(match.group("name")))
            for match in self.names.finditer(folded)
        ]
        found += [
            Mark(at, at + 1, at + 1, frozenset((kind,)), masked=True)
            for at, kind in reading.placeholders.items()
        ]
        return iter(sorted(found))

    def _kinds_of(self, name: str) -> frozenset[str]:
        """Return the kinds that `name` names; a stem matches all words that begin with it."""
        known = self._kinds.get(_squeeze(name))
        if known is None:
            known = frozenset().union(
                *(kinds for stem, kinds in self._stems if stem.fullmatch(name))
            )
            self._kinds[_squeeze(name)] = known
        return known


_SPACED = re.compile(r"[ \n._'\u00b0-]")
_JOINTS = {
    " ": "[ \\n.'_\u00b0-]{0,2}",
    ".": "[ \\n._-]{0,2}",
    "-": "\\.?[ \\n-]{0,2}",
    "'": "'?",
    "/": "[ ]?/[ ]?",
    "#": "[ ]?#",
    "*": "[^\\W\\d_]{0,20}",
}
"""How the joints of a name may be written: date of birth, date-of-birth, dateofbirth."""


def _squeeze(name: str) -> str:
    """Write a name without its joints."""
    return _SPACED.sub("", name)


def _one_of(words: Iterable[str]) -> str:
    """Make a pattern for any of `words`, the longest first: a tree by letters, so that its time
    does not grow with the number of words.
    """
    tree: dict[str, Any] = {}
    for word in words:
        branch = tree
        for place, sign in enumerate(word, 1):
            joint = _JOINTS.get(sign) if place < len(word) or sign == "*" else None
            branch = branch.setdefault(joint or re.escape(sign), {})
        branch[""] = {}
    return _grow(tree)


def _grow(tree: dict[str, Any]) -> str:
    branches = [f"{sign}{_grow(tree[sign])}" for sign in sorted(tree) if sign]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)}){'?' if '' in tree else ''}"


def _linked(marks: str, words: frozenset[str]) -> re.Pattern[str]:
    """Make a pattern for the text between a name and its number; a full stop is allowed only
    directly after the name or a word.
    """
    return re.compile(rf"\.?(?:{marks}|(?<![^\W\d_])(?:{_one_of(words)})(?![^\W\d_])\.?)*")


_SIX_WORDS = re.compile(r"[\W_]*(?:[^\W\d_]{1,16}[\W_]+){0,6}")
_THREE_WORDS = re.compile(r"[\W_]*(?:[^\W\d_]{1,16}[\W_]+){0,3}")


class Surroundings:
    """The marks of one text in reading order: `pass_to` moves to a place, `beside` judges a number
    there.
    """

    def __init__(self, reading: Reading, vocabulary: Vocabulary) -> None:
        self._given, self._vocabulary = reading.text, vocabulary
        self._text = reading.text.translate(_FOLDED)
        self._all = list(vocabulary.marks(reading, self._text))
        self._starts = [mark.start for mark in self._all]
        self._next = 0
        self._passed: list[Mark] = []
        self._shrunk = 0
        self._masked_to = 0

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of all names and placeholders of the text."""
        return frozenset[str]().union(*(mark.kinds for mark in self._all))

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
            if nearest and kind in mark.kinds and self._leads(mark, start, kind):
                return "joined" if mark.masked else "adjacent"
            if nearest and DESK in mark.kinds and self._is_the_desks(mark, start):
                return "desk"
            if kind in mark.kinds and not mark.masked:
                if nearest and self._is_close(mark, start, kind):
                    return "close"
                if not _SENTENCE_END.search(self._text, mark.end, start):
                    return "near"
            other = not mark.masked and kind not in mark.kinds and DESK not in mark.kinds
            nearest = nearest and kind == "DOB" and other
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

    def _leads(self, mark: Mark, start: int, kind: Kind) -> bool:
        """Return true if only linking words lie between `mark` and `start`."""
        words = self._vocabulary
        linked = words.loosely_linked if kind in _STRONG else words.linked
        between = _AND if mark.masked else linked
        return between.fullmatch(self._text, mark.end, start) is not None

    def _is_close(self, mark: Mark, start: int, kind: Kind) -> bool:
        """Return true if a few words of one sentence lie between `mark` and `start`."""
        strong = kind in _STRONG
        ended = (_STRONG_END if strong else _SENTENCE_END).search(self._given, mark.end, start)
        between = _SIX_WORDS if strong else _THREE_WORDS
        linked = self._vocabulary.loosely_linked
        return ended is None and any(
            words.fullmatch(self._text, mark.end, start) for words in (between, linked)
        )

    def is_glued(self, start: int, kind: Kind) -> bool:
        """Return true if a name of `kind` ends where the number starts, as in SSN123456789."""
        return any(mark.end == start and kind in mark.kinds for mark in self._passed[-1:])

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
        closing = self._text[mark.end : mark.end + 1] in (")", "]")
        closed = self._text[end : mark.start] == " " and closing
        return closed or _BEHIND.fullmatch(self._text, end, mark.start) is not None


class Named(Surroundings):
    """The surroundings of a reference, in which only a name of three letters or more right before
    a number counts: DL-1001 names a fail.
    """

    def __init__(self, reading: Reading, vocabulary: Vocabulary) -> None:
        super().__init__(reading, vocabulary)
        self._all = [mark for mark in self._all if mark.masked or mark.end - mark.start > 2]
        self._starts = [mark.start for mark in self._all]

    def beside(self, start: int, end: int, kind: Kind) -> Beside:
        beside = super().beside(start, end, kind)
        return beside if beside == "adjacent" else "none"
