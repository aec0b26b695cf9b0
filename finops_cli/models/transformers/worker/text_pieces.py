"""The text of an answer, token by token."""

from __future__ import annotations

from typing import Any

_INCOMPLETE = "\ufffd"


class TextPieces:
    """Decodes the tokens of one answer as they come.

    A tokenizer may join characters of several tokens, so the latest tokens are decoded together.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._begin = self._shown = 0

    def append(self, token: int) -> bytes:
        """Return the text that `token` completes; empty in the middle of a character."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._begin : self._shown])
        text = self._decode(self._tokens[self._begin :])
        if len(text) <= len(before) or text.endswith(_INCOMPLETE):
            return b""
        self._begin, self._shown = self._shown, len(self._tokens)
        return text[len(before) :].encode("utf-8", "replace")

    def _decode(self, tokens: list[int]) -> str:
        found: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found
