"""The guard: free text in, the same text with personal data masked out (kb: `guard.masking`)."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol, get_args

from finops_cli import extras
from finops_cli.errors import MissingPiece
from finops_cli.guard import desk_tokens
from finops_cli.guard.context_words import Named, Surroundings, Vocabulary
from finops_cli.guard.normalise import Reading, joined, read
from finops_cli.guard.overlaps import Candidate, choose
from finops_cli.guard.pattern import Pattern
from finops_cli.guard.patterns import patterns
from finops_cli.guard.placeholders import HOLDS_ADDRESS, MAY_HOLD, Masked
from finops_cli.kb.chapters.guard import GuardSettings, Kind

_DIGIT = re.compile("[0-9]")
_PROVEN = frozenset(("CARD", "IBAN", "EMAIL"))


class _Span(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class PatternRecogniser(Protocol):
    """The interface of Presidio's recognisers: each finds one form."""

    form: Pattern
    score: float

    def analyze(self, text: str, entities: list[str]) -> Sequence[_Span]: ...


def installed() -> bool:
    """Return true if the packages that `open_guard` needs are installed, without loading them."""
    return find_spec("presidio_analyzer") is not None


def open_guard(settings: GuardSettings) -> Guard:
    """Open the guard with `settings`.

    Raises MissingPiece where the `guard` extra is not installed.
    """
    if not installed():
        raise MissingPiece(
            "free text is masked by presidio-analyzer, which is not installed", extras.cure("guard")
        )
    return Guard(
        settings, [_Deferred(form, settings.scores[form.name]) for form in patterns(settings)]
    )


class _Deferred:
    """A recogniser that loads Presidio's one when a text first matches its pattern: Presidio takes
    over a second to load.
    """

    def __init__(self, form: Pattern, score: float) -> None:
        self.form, self.score = form, score
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in form.regexes]
        self._made: PatternRecogniser | None = None

    def analyze(self, text: str, entities: list[str]) -> Sequence[_Span]:
        if self._made is None:
            if not any(pattern.search(text) for pattern in self._patterns):
                return ()
            self._made = _presidios(self.form, self.score)
        return self._made.analyze(text, entities)


def _presidios(form: Pattern, score: float) -> PatternRecogniser:
    try:
        from finops_cli.guard.presidio import recogniser
    except Exception as broken:  # a torn installation raises what it likes while it loads
        raise MissingPiece(
            f"free text is masked by presidio-analyzer, which cannot be loaded ({broken})",
            extras.cure("guard"),
        ) from broken
    return recogniser(form, score)


class Guard:
    """The guard. Several threads may call it at once."""

    reads = True

    def __init__(self, settings: GuardSettings, recognisers: Sequence[PatternRecogniser]) -> None:
        self._settings = settings
        self._recognisers = recognisers
        self._least_proven = min(settings.thresholds.values())
        self._vocabulary = Vocabulary(settings)
        self._desk = desk_tokens.pattern(settings)

    def mask(self, text: str) -> Masked:
        """Replace each piece of personal data by its placeholder and keep the rest unchanged.

        Masking the result again changes nothing.
        """
        return self._mask(text, self._settings.thresholds["text"], Surroundings)

    def mask_reference(self, text: str) -> Masked:
        """Mask a reference, by which a record is found: only pieces that their own form proves, or
        a name right before them.
        """
        return self._mask(text, self._settings.thresholds["reference"], Named)

    def _mask(self, text: str, threshold: float, around: type[Surroundings]) -> Masked:
        kinds: set[Kind] = set()
        for _ in range(self._settings.passes):
            reading = read(text)
            found = self._found(reading, threshold, around) if MAY_HOLD.search(reading.text) else []
            if not found:
                break
            kinds.update(candidate.kind for candidate in found)
            text = _replace(text, reading, found)
        return Masked(text, tuple(kind for kind in get_args(Kind) if kind in kinds))

    def _found(
        self, reading: Reading, threshold: float, around: type[Surroundings]
    ) -> list[Candidate]:
        surroundings = around(reading, self._vocabulary)
        tokens = desk_tokens.tokens(reading.text, self._desk)
        candidates: set[Candidate] = set()
        possible = self._possible(reading.text)
        proven = [each for each in possible if each.score >= self._least_proven]
        candidates |= self._spans(reading, tokens, proven)
        kinds = surroundings.kinds.union(candidate.kind for candidate in candidates)
        named = [each for each in possible if each not in proven and each.form.kind in kinds]
        candidates |= self._spans(reading, tokens, named)
        return choose(candidates, tokens, surroundings, self._settings, threshold)

    def _possible(self, text: str) -> list[PatternRecogniser]:
        """Choose the recognisers for which `text` has enough digits."""
        digits = len(_DIGIT.findall(text))
        address = HOLDS_ADDRESS.search(text) is not None
        fewest = self._settings.fewest_digits
        return [
            each
            for each in self._recognisers
            if (address if each.form.kind == "EMAIL" else digits >= fewest[each.form.kind])
        ]

    def _spans(
        self, reading: Reading, tokens: Sequence[_Span], recognisers: Sequence[PatternRecogniser]
    ) -> set[Candidate]:
        if not recognisers:
            return set()
        return {
            Candidate(span.start, span.end, recogniser.form.kind, recogniser.score)
            for recogniser in recognisers
            for span in recogniser.analyze(reading.text, [recogniser.form.kind])
        } | self._across_lines(reading, tokens, recognisers)

    def _across_lines(
        self, reading: Reading, tokens: Sequence[_Span], recognisers: Sequence[PatternRecogniser]
    ) -> set[Candidate]:
        """Find candidates that a line end cuts in two.

        They hold no token of the desk, unless their own form proves them.
        """
        text, places = joined(reading)
        starts, ends = [token.start for token in tokens], [token.end for token in tokens]
        return {
            Candidate(start, end, recogniser.form.kind, recogniser.score)
            for recogniser in recognisers
            if text and recogniser.form.crosses_lines
            for span in recogniser.analyze(text, [recogniser.form.kind])
            if (end := places[span.end - 1] + 1) - (start := places[span.start])
            > span.end - span.start
            and (
                recogniser.form.kind in _PROVEN
                or bisect_right(ends, start) == bisect_left(starts, end)
            )
        }


def _replace(text: str, reading: Reading, found: list[Candidate]) -> str:
    parts = []
    place = 0
    for candidate in found:
        parts += [text[place : reading.starts[candidate.start]], f"[{candidate.kind}]"]
        place = reading.ends[candidate.end - 1]
    return "".join([*parts, text[place:]])
