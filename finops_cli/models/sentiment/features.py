"""Features of a text for the baseline: words, pairs of words, and sequences of word classes.

A word class (`training/sentiment-words.toml`) groups words that say the same of a result: `up`,
`down`, things that are good or bad to have more of, negations, contrasts. Sequences of classes let
a linear model learn that falling costs are good news, whichever words say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_TOKEN = re.compile(
    r"[a-z]+(?:-[a-z]+)*(?:['\u2019][a-z]+)?|[$€£]?[0-9][0-9,.]*[0-9](?:\s?%)?|[0-9](?:\s?%)?|[.;:?!,]"
)
_MOVE = re.compile(
    r"(?:(from)|(to)|(?:against|versus|vs))\s+(?:eur |usd )?[$€£]?([0-9][0-9,]*(?:\.[0-9]+)?)"
    r"(?:\s?(million|billion|m|bn|thousand|k)\b)?"
)
_SCALE = {"thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9}
_SENTENCE_ENDS = frozenset(".;?!")
_NUMERIC = frozenset("$€£0123456789")
_NUMBER, _PERCENT = "<n>", "<p>"
_SUFFIXES = ("ly", "ing", "ed", "es", "s", "d")
_LEAST_STEM = 4
CONTRAST, CONCESSION = "but", "though"
"""The classes that part a sentence: what follows `but`, or the clause after a concession, counts
more.
"""


class Lexicon(NamedTuple):
    """The class of each word, and of phrases of two words with a space."""

    words: Mapping[str, str]
    phrases: Mapping[str, str]
    memo: dict[str, str]
    """Classes of words by their stems, found earlier; empty for a word without a class."""

    def class_of(self, word: str) -> str:
        """Return the class of a word, also of its inflected forms; empty if it has none."""
        found = self.memo.get(word)
        if found is None:
            found = self.words.get(word) or self._by_stem(word)
            if len(self.memo) < _MEMO_WORDS:
                self.memo[word] = found
        return found

    def _by_stem(self, word: str) -> str:
        if word.endswith(("n't", "n\u2019t")):
            return self.words.get("not", "")
        for suffix in _SUFFIXES:
            stem = word.removesuffix(suffix)
            if len(stem) < len(word) and len(stem) >= _LEAST_STEM:
                for form in (stem, f"{stem}e"):
                    if form in self.words:
                        return self.words[form]
        return ""


_MEMO_WORDS = 100_000
"""Words whose class is remembered, so that memory does not grow with the input."""


def build_lexicon(classes: Mapping[str, list[str]]) -> Lexicon:
    """Build the lexicon from the words of each class."""
    words = {word: name for name, members in classes.items() for word in members}
    return Lexicon(
        {word: name for word, name in words.items() if " " not in word},
        {word: name for word, name in words.items() if " " in word},
        {},
    )


def features(text: str, lexicon: Lexicon) -> list[str]:
    """List the features of `text`, with repetitions."""
    lower = text.lower()
    found: list[str] = []
    sequence: list[str] = []
    main_from = -1
    before, at_start, concedes = "", True, False
    class_of, phrases = lexicon.class_of, lexicon.phrases
    for piece in _TOKEN.findall(lower):
        first = piece[0]
        if first in _SENTENCE_ENDS:
            if first == "?":
                sequence.append("ask")
            found += _class_features(sequence, main_from)
            sequence, main_from = [], -1
            before, at_start, concedes = "", True, False
            continue
        if first in ",:":
            if concedes and first == ",":
                main_from, concedes = len(sequence), False
            before = ""
            continue
        word = piece
        if first in _NUMERIC:
            word = _PERCENT if piece[-1] == "%" else _NUMBER
        found.append(word)
        name = ""
        if before:
            pair = f"{before} {word}"
            found.append(pair)
            name = phrases.get(pair, "")
            if name and sequence and class_of(before):
                sequence.pop()  # the phrase replaces its first word
        name = name or class_of(word)
        if name:
            concedes = concedes or (at_start and name == CONCESSION)
            sequence.append(name)
            if name == CONTRAST:
                main_from = len(sequence)
        before, at_start = word, False
    found += _class_features(sequence, main_from)
    found += moves_in(lower)
    return found


def _class_features(sequence: list[str], main_from: int) -> Iterator[str]:
    """Yield the classes of a sentence one, two and three at a time, and those of its main clause.

    `main_from` is the place where the main clause begins; -1: the sentence has no contrast.
    """
    previous, last = "", ""
    for name in sequence:
        yield f"={name}"
        if last:
            yield f"={last} {name}"
            if previous:
                yield f"={previous} {last} {name}"
        previous, last = last, name
    if main_from >= 0:
        last = ""
        for name in sequence[main_from:]:
            yield f"!{name}"
            if last:
                yield f"!{last} {name}"
            last = name


def moves_in(lower: str) -> Iterator[str]:
    """Yield the direction of each pair of amounts that a text compares: from A to B."""
    if "from " not in lower and "against " not in lower:
        return
    start = end = None
    for move in _MOVE.finditer(lower):
        value = float(move[3].replace(",", "")) * _SCALE.get(move[4] or "", 1)
        if move[2]:
            end = value
        else:
            start = value
        if start is not None and end is not None:
            yield "=<rise>" if end > start else "=<drop>" if end < start else "=<same>"
            start = end = None
