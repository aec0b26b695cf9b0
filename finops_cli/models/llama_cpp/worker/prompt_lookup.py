"""Guesses at how an answer goes on: what stood behind the same few tokens before, in its prompt,
its own words or an earlier answer.

The network evaluates the guesses of all answers in the batch that it evaluates anyway, and only
those that it would have said itself stay. So a guess changes no answer, and a right one costs less
than half of a batch of its own. The keys of the JSON, the fixed words of a reason and the figures
copied out of the prompt are guessed this way.
"""

from __future__ import annotations

from collections.abc import Sequence

DRAFTED = 3
"""Tokens guessed ahead.

Four tokens of each answer make a batch that a processor multiplies as a matrix; more are seldom all
right.
"""
_REACHES = (8, 3)
"""How many tokens have to be the same, the surest first."""
_REMEMBERED = 100_000
"""Keys of one generation of `Heard`: some tens of megabytes."""

Behind = dict[tuple[int, ...], int]


class NGramCache:
    """What earlier answers said behind which tokens. It forgets the older half when it is full."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._new: Behind = {}
        self._old: Behind = {}

    def keep(self, behind: Behind) -> None:
        """Remember what one answer was made of."""
        if len(self._new) > self._remembered:
            self._old, self._new = self._new, {}
        self._new.update(behind)

    def get(self, key: tuple[int, ...]) -> int | None:
        """What stood behind `key` last."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found


class PromptLookup:
    """Guesses for one answer.

    `text`: its prompt, of which the first `shared` tokens are those of every prompt.
    """

    def __init__(self, text: Sequence[int], shared: int, heard: NGramCache) -> None:
        self._text = list(text)
        self._heard = heard
        self._behind: Behind = {}
        for end in range(max(shared, 1), len(self._text)):
            self._learn(end)

    def learn(self, token: int) -> None:
        """`token` was said."""
        self._text.append(token)
        self._learn(len(self._text) - 1)

    def _learn(self, end: int) -> None:
        text = self._text
        for reach in _REACHES:
            if end >= reach:
                self._behind[tuple(text[end - reach : end])] = text[end]

    @property
    def knows(self) -> bool:
        """Whether the next token can be foreseen at all."""
        return self._next(self._text) is not None

    def guess(self) -> list[int]:
        """`DRAFTED` tokens; where nothing is foreseen, the last one once more."""
        text = self._text[-_REACHES[0] :]
        for _ in range(DRAFTED):
            token = self._next(text)
            text.append(text[-1] if token is None else token)
        return text[-DRAFTED:]

    def _next(self, text: list[int]) -> int | None:
        """What stood behind the longest equal end of `text`, in this answer rather than in
        another.
        """
        for reach in _REACHES:
            key = tuple(text[-reach:])
            token = self._behind.get(key)
            if token is None:
                token = self._heard.get(key)
            if token is not None:
                return token
        return None

    def close(self) -> None:
        """The answer is over: others may use what it was made of."""
        self._heard.keep(self._behind)
