"""Chooses which candidates in a text are masked (kb: `guard.masking`)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_args

from finops_cli.guard.context_words import Surroundings
from finops_cli.guard.desk_tokens import Token
from finops_cli.kb.chapters.guard import GuardSettings, Kind

_SPECIFIC = {kind: place for place, kind in enumerate(get_args(Kind))}


class Candidate(NamedTuple):
    start: int
    end: int
    kind: Kind
    score: float

    @property
    def length(self) -> int:
        return self.end - self.start


def choose(
    candidates: Iterable[Candidate],
    tokens: list[Token],
    around: Surroundings,
    settings: GuardSettings,
    threshold: float,
) -> list[Candidate]:
    """Choose the candidates to mask, in the order of the text, without overlaps: the longest first,
    then the surest, then the most specific.
    """
    starts = [token.start for token in tokens]
    ends = [token.end for token in tokens]
    found: list[Candidate] = []
    for cluster in _clusters(sorted(candidates)):
        held = []
        for candidate in cluster:
            around.pass_to(candidate.start)
            over = tokens[bisect_right(ends, candidate.start) : bisect_left(starts, candidate.end)]
            score = _score(candidate, over, around, settings, threshold)
            if score >= threshold:
                held.append(Candidate(candidate.start, candidate.end, candidate.kind, score))
        for candidate in _longest(held) if held[1:] else held:
            around.mask(candidate.start, candidate.end, candidate.kind)
            found.append(candidate)
    return found


def _clusters(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    """Group candidates that overlap, directly or through others."""
    cluster: list[Candidate] = []
    end = 0
    for candidate in candidates:
        if cluster and candidate.start >= end:
            yield cluster
            cluster = []
        cluster.append(candidate)
        end = max(end, candidate.end)
    if cluster:
        yield cluster


def _score(
    candidate: Candidate,
    over: list[Token],
    around: Surroundings,
    settings: GuardSettings,
    threshold: float,
) -> float:
    """Score `candidate` in its place; 0 if a token of the desk is there."""
    beside = around.beside(candidate.start, candidate.end, candidate.kind)
    own = candidate.score
    beside_name = beside == "adjacent" or (beside == "close" and candidate.kind == "DOB")
    for token in over:
        larger = candidate.length > token.end - token.start and (
            own >= threshold or (beside_name and token.may_be_part)
        )
        named = (
            beside_name
            and candidate.length <= token.end - token.start
            and (
                token.gives_way_to(candidate.kind)
                or around.is_glued(candidate.start, candidate.kind)
            )
        )
        if not larger and not named:
            return 0
    effect = {"joined": "adjacent", "none": None}.get(beside, beside)
    gain = settings.context[effect] if effect else 0
    return min(1, own - gain if effect == "desk" else own + gain)


def _longest(candidates: list[Candidate]) -> list[Candidate]:
    """Keep the longest of `candidates` that overlap, in the order of the text."""
    kept: list[Candidate] = []
    for candidate in sorted(
        candidates, key=lambda each: (-each.length, -each.score, _SPECIFIC[each.kind], each.start)
    ):
        at = bisect_left(kept, candidate)
        before, after = kept[at - 1 : at] if at else [], kept[at : at + 1]
        if all(other.end <= candidate.start for other in before) and all(
            other.start >= candidate.end for other in after
        ):
            kept.insert(at, candidate)
    return kept
