"""Prompt-lookup decoding: draft the next tokens from text that followed the same tokens before.

The earlier text is in the prompt, in the answer so far or in an earlier answer. The model evaluates
the drafts of all answers in a batch that it evaluates anyway, and only tokens that it would have
generated itself are kept. So a draft never changes an answer, and a correct one costs less than
half of a separate batch. Drafts cover the keys of the JSON, the fixed words of a reason and the
numbers copied from the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

DRAFTED = 3
"""Number of tokens drafted ahead.

Four tokens of each answer make a batch that a processor multiplies as a matrix. Longer drafts are
seldom all correct.
"""
_NGRAM_LENGTHS = (8, 3)
"""Numbers of tokens that must be equal, the most reliable first."""
_CACHE_ENTRIES = 100_000
"""Maximum number of n-grams in one half of `NGramCache`: some tens of megabytes."""

NGrams = dict[tuple[int, ...], int]
"""From an n-gram of tokens to the token that followed it last."""


class NGramCache:
    """The n-grams of earlier answers.

    It drops the older half when it is full.
    """

    def __init__(self, max_entries: int = _CACHE_ENTRIES) -> None:
        self._max_entries = max_entries
        self._new: NGrams = {}
        self._old: NGrams = {}

    def add(self, ngrams: NGrams) -> None:
        """Add the n-grams of one answer."""
        if len(self._new) > self._max_entries:
            self._old, self._new = self._new, {}
        self._new.update(ngrams)

    def get(self, key: tuple[int, ...]) -> int | None:
        """Return the token that followed `key` last."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found


class PromptLookup:
    """Drafts of tokens for one answer."""

    def __init__(self, prompt: Sequence[int], shared: int, cache: NGramCache) -> None:
        """Learn the n-grams of `prompt` after its first `shared` tokens, which every prompt has."""
        self._tokens = list(prompt)
        self._cache = cache
        self._ngrams: NGrams = {}
        for end in range(max(shared, 1), len(self._tokens)):
            self._learn(end)

    def append(self, token: int) -> None:
        """Add a generated token."""
        self._tokens.append(token)
        self._learn(len(self._tokens) - 1)

    def _learn(self, end: int) -> None:
        tokens = self._tokens
        for length in _NGRAM_LENGTHS:
            if end >= length:
                self._ngrams[tuple(tokens[end - length : end])] = tokens[end]

    @property
    def can_draft(self) -> bool:
        """Return true if the next token can be predicted."""
        return self._predict(self._tokens) is not None

    def draft(self) -> list[int]:
        """Predict `DRAFTED` tokens. Without a prediction, repeat the last token."""
        tokens = self._tokens[-_NGRAM_LENGTHS[0] :]
        for _ in range(DRAFTED):
            token = self._predict(tokens)
            tokens.append(tokens[-1] if token is None else token)
        return tokens[-DRAFTED:]

    def _predict(self, tokens: list[int]) -> int | None:
        """Look up the longest known n-gram at the end of `tokens`, in this answer first."""
        for length in _NGRAM_LENGTHS:
            key = tuple(tokens[-length:])
            token = self._ngrams.get(key)
            if token is None:
                token = self._cache.get(key)
            if token is not None:
                return token
        return None

    def close(self) -> None:
        """Give the n-grams of the finished answer to the cache."""
        self._cache.add(self._ngrams)
