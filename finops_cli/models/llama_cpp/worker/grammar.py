"""Holds an answer to a schema: before each token, llguidance tells which tokens can stand there."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from finops_cli.models.llama_cpp.worker.sequence import GrammarLost

if TYPE_CHECKING:
    from finops_cli.models.llama_cpp.worker.context import Model

_BLANKS = r"[\x20\x0A\x0D\x09]{0,24}"
"""Between two marks of the JSON: room to indent, no room to go on for ever."""


class GrammarFactory:
    """Makes a hold for each answer. The vocabulary is prepared once, each schema compiled once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = Lock()
        self._tokenizer: Any = None
        self._compiled: dict[bytes, Any] = {}

    def __call__(self, schema: bytes) -> SchemaGrammar:
        """Raises ValueError for a schema that llguidance does not take."""
        with self._lock:
            matcher = self._compiled.get(schema)
            if matcher is None:
                matcher = self._compiled[schema] = self._compile(schema)
            return SchemaGrammar(matcher.deep_copy(), self._model.vocabulary)

    def _compile(self, schema: bytes) -> Any:
        from llguidance import LLMatcher

        if self._tokenizer is None:
            self._tokenizer = self._model.word_list()
        grammar = LLMatcher.grammar_from_json_schema(
            schema.decode(), overrides={"whitespace_pattern": _BLANKS}
        )
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"the schema cannot be held to: {matcher.get_error()}")
        return matcher


class SchemaGrammar:
    """One answer, held to its schema from the first token."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._bits: Any = np.zeros(-(-vocabulary // 32), np.uint32)
        self._vocabulary = vocabulary

    def allow(self, logits: Any) -> None:
        """Rule out what cannot stand here."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        allowed = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._vocabulary]
        logits[allowed == 0] = -np.inf

    def accept(self, token: int) -> bool:
        """Take `token`.

        True when nothing more can follow. Raises HoldLost when llguidance gave up: it then says
        that it stopped, too.
        """
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise GrammarLost(f"the schema could not be held to: {self._matcher.get_error()}")
        return bool(self._matcher.is_stopped())
