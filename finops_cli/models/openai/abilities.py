"""Find out what a server takes for a model: fields, likely tokens, schemas.

It is tried once for each server and model, before the first record, and again only where a trial
was broken off.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress

from finops_cli.models.failures import (
    ConnectionLost,
    Crashed,
    EmptyGeneration,
    Incomplete,
    Interrupted,
    ReasoningOnly,
    Rejected,
    TimedOut,
    TooLong,
    Truncated,
)
from finops_cli.models.openai.constraints import CONSTRAINTS, PROBE_TOKENS, Constraint, Probe
from finops_cli.models.openai.gbnf import UnsupportedSchema
from finops_cli.models.openai.requests import Abilities
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.servers.answers import Generated

Ask = Callable[[CompletionRequest, Abilities, int], Generated]
"""Send a request with these abilities and at most so many tokens. Raises ModelError."""
_NOT_THIS_WAY = (
    Rejected,
    Crashed,
    EmptyGeneration,
    Incomplete,
    Interrupted,
    ReasoningOnly,
    TimedOut,
    TooLong,
    Truncated,
)
"""Failures of a probe that show that a way does not work."""
SAMPLING = frozenset(("seed", "min_p", "top_k", "repeat_penalty"))
"""Fields whose absence may change an answer."""
_FIRST_TOKENS = (20, 5)
"""How many likely tokens are asked for: of vLLM and llama.cpp, and of OpenAI's own API."""


class Trial:
    """The trial of one model on one server. One thread uses it at a time.

    `prompt` is a prompt of its stage; `optional` are the fields that a server may refuse.
    """

    def __init__(
        self, prompt: CompletionRequest, optional: frozenset[str], probe: Probe, wants_tokens: bool
    ) -> None:
        self._prompt = prompt
        self._optional = optional
        self._probe = probe
        self._wants_tokens = wants_tokens
        self._untried = list(CONSTRAINTS)
        self._fields_known = self._tokens_known = self._constraint_known = False
        self.found = Abilities()

    @property
    def is_finished(self) -> bool:
        """Return true if everything was tried."""
        return self._fields_known and self._tokens_known and self._constraint_known

    def run(self, ask: Ask) -> None:
        """Try what was not tried yet. Raises ModelError if the server fails otherwise."""
        if not self._fields_known:
            self._find_fields(ask)
        if not self._tokens_known:
            self._find_tokens(ask)
        if not self._constraint_known:
            self._find_constraint(ask)

    def _find_fields(self, ask: Ask) -> None:
        """Leave out the fields that the server refuses: those that it names, else all."""
        while True:
            try:
                _accepts(ask, self._prompt, self.found)
                break
            except Rejected as refusal:
                left = self._optional - self.found.dropped
                if not left:
                    self.found = Abilities()  # something else is wrong
                    raise
                named = {field for field in left if field in refusal.detail}
                self.found = self.found._replace(dropped=self.found.dropped | (named or left))
        self._fields_known = True

    def _find_tokens(self, ask: Ask) -> None:
        for number in _FIRST_TOKENS if self._wants_tokens else ():
            able = self.found._replace(top_logprobs=number)
            try:
                _accepts(ask, self._prompt._replace(top_logprobs=number), able)
            except (Rejected, Crashed) as refusal:
                if isinstance(refusal, ConnectionLost):
                    raise
                continue
            self.found = able
            break
        self._tokens_known = True

    def _find_constraint(self, ask: Ask) -> None:
        """Find the first way that works. A way that broke the server is not tried again."""
        while self._untried:
            way = self._untried.pop(0)
            if self._works(ask, way):
                self.found = self.found._replace(constraint=way)
                break
        self._constraint_known = True

    def _works(self, ask: Ask, way: Constraint) -> bool:
        request = self._prompt._replace(
            prompt=self._probe.prompt, schema=self._probe.schema, top_logprobs=0
        )
        try:
            able = self.found._replace(constraint=way)
            return self._probe.is_satisfied(ask(request, able, PROBE_TOKENS).text)
        except UnsupportedSchema:
            return False
        except _NOT_THIS_WAY as failure:
            if isinstance(failure, ConnectionLost | TimedOut):
                raise  # it is tried again without this way
            return False


def _accepts(ask: Ask, request: CompletionRequest, able: Abilities) -> None:
    """Send a request for one token. Raises ModelError unless a text or its limit comes."""
    # after one of these it took the fields, which is all that counts here
    with suppress(Truncated, EmptyGeneration, Incomplete, Interrupted, ReasoningOnly):
        ask(request, able, 1)


def describe(url: str, model: str, found: Abilities, asks: Set[str]) -> list[str]:
    """Say what a server does not do, for people; `asks` are the fields that matter."""
    said = []
    left_out = sorted(found.dropped & asks)
    if left_out:
        said.append(f"{url} does not take {', '.join(left_out)} for {model}: its own values hold")
    if found.constraint is None:
        said.append(
            f"{url} holds no answer of {model} to a schema: a second request is unconstrained"
            " (reply.unconstrained)"
        )
    return said
