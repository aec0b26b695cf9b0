"""Cut a text of a model to its first turn.

A model whose runtime misses the end of its turn writes on: the token of the end, then another turn,
often of the user, then another answer. Only the first turn answers the record. The tokens are data
(kb: `model.turn_ends`, `model.turn_openings`), because each family of models has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from finops_cli.kb.chapters.models import ModelSettings


class FirstTurn(NamedTuple):
    """The text of the first turn."""

    text: str
    has_tokens: bool
    """True if a token of a chat template stood before or after the turn."""


def first_turn(text: str, settings: ModelSettings) -> FirstTurn:
    """Return the first turn of `text`: after the tokens that open it, up to the next token.

    A token ends the turn wherever it stands, also in reasoning or within a JSON string, as the stop
    sequence of a runtime does.
    """
    opening, token = _patterns(settings.turn_ends, settings.turn_openings)
    begin = opening.match(text).end()  # type: ignore[union-attr]  # it matches the empty text, too
    end = token.search(text, begin)
    turn = text[begin : end.start()] if end else text[begin:]
    return FirstTurn(turn, begin > 0 or end is not None)


def has_turn_token(text: str, settings: ModelSettings) -> bool:
    """Return true if a token of a chat template stands anywhere in `text`."""
    return _patterns(settings.turn_ends, settings.turn_openings)[1].search(text) is not None


@cache
def _patterns(
    ends: frozenset[str], openings: frozenset[str]
) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Compile a pattern of the tokens before a turn and one of the tokens that end it."""
    return (
        re.compile(rf"(?:\s*(?:{_any_of(openings)}))*", re.IGNORECASE),
        re.compile(_any_of(ends | openings), re.IGNORECASE),
    )


def _any_of(tokens: Iterable[str]) -> str:
    """Return a pattern of the tokens, the longest first. Without tokens it matches nothing."""
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return "|".join(re.escape(token) for token in longest_first) or r"(?!)"
