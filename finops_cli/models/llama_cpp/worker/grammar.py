"""Constrain an answer to a schema: llguidance lists the tokens that are possible next."""

from __future__ import annotations

from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finops_cli.models.llama_cpp.worker.sequence import GrammarLost


class Vocabulary(Protocol):
    """The part of a model that the grammars use."""

    vocabulary: int

    def build_tokenizer(self) -> Any: ...


_BLANKS = r"[\x20\x0A\x0D\x09]{0,24}"
"""Maximum number of spaces between two JSON tokens. It allows indentation but not endless spaces.
"""


class GrammarFactory:
    """Factory of grammars, one for each answer. Each schema is compiled once."""

    def __init__(self, model: Vocabulary) -> None:
        self._model = model
        self._lock = Lock()
        self._tokenizer: Any = None
        self._compiled: dict[bytes, Any] = {}

    def __call__(self, schema: bytes) -> SchemaGrammar:
        """Make a grammar. Raises ValueError for a schema that llguidance does not support."""
        with self._lock:
            matcher = self._compiled.get(schema)
            if matcher is None:
                matcher = self._compiled[schema] = self._compile(schema)
            return SchemaGrammar(matcher.deep_copy(), self._model.vocabulary)

    def _compile(self, schema: bytes) -> Any:
        from llguidance import LLMatcher

        if self._tokenizer is None:
            self._tokenizer = self._model.build_tokenizer()
        grammar = LLMatcher.grammar_from_json_schema(
            schema.decode(), overrides={"whitespace_pattern": _BLANKS}
        )
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"llguidance does not support the schema: {matcher.get_error()}")
        return matcher


class SchemaGrammar:
    """A constraint of one answer to its schema, from the first token."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._bits: NDArray[np.uint32] = np.zeros(-(-vocabulary // 32), np.uint32)
        self._vocabulary = vocabulary

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Exclude the tokens that are not possible next.

        Shape: logits (vocabulary,) float32.
        """
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        allowed = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._vocabulary]
        logits[allowed == 0] = -np.inf

    def accept(self, token: int) -> bool:
        """Advance by `token`. Return true if no token can follow.

        Raises GrammarLost if llguidance gave up, because it then also reports that it stopped.
        """
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise GrammarLost(f"llguidance lost track of the schema: {self._matcher.get_error()}")
        return bool(self._matcher.is_stopped())
