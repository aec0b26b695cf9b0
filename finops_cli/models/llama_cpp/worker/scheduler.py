"""Decode several answers in one batch.

Each answer has a slot. When an answer ends, the next request takes its slot.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from finops_cli.models.llama_cpp.messages import Begun, Generate, GenerationResult, Sampling
from finops_cli.models.llama_cpp.worker.batch import Batch
from finops_cli.models.llama_cpp.worker.prompt_lookup import DRAFTED, NGramCache, PromptLookup
from finops_cli.models.llama_cpp.worker.sequence import (
    GrammarConstraint,
    GrammarLost,
    Sampler,
    Sequence,
)


class DecodingContext(Protocol):
    """The part of `worker.context.DecodingNetwork` that the scheduler uses."""

    batch: int
    context: int
    can_rewind: bool

    @property
    def token_texts(self) -> Mapping[int, bytes | None]: ...

    def begin(self, sequence: int, tokens: list[int]) -> int: ...

    def release(self, sequence: int) -> None: ...

    def rewind(self, sequence: int, position: int) -> None: ...

    def decode(self, batch: Batch) -> None: ...

    def logits(self, rows: int) -> Any: ...

    def tokenize_choices(self, choices: tuple[str, ...]) -> list[list[int]]: ...

    def sampler(self, sampling: Sampling, seed: int) -> Sampler | None: ...


class BatchEntry(NamedTuple):
    """Tokens of one answer in a batch: the last generated one, and the drafts after it."""

    at: int
    """Index of the first token in the batch."""
    row: int
    """Index of its logits among those of the batch."""
    slot: int
    sequence: Sequence
    drafts: abc.Sequence[int]


class Scheduler:
    """Decodes one answer in each of its slots.

    The lowest free slot is taken first, and a batch contains the slots in order, because llama.cpp
    evaluates neighbouring sequences together.
    """

    def __init__(
        self,
        network: DecodingContext,
        slots: int,
        send: Callable[[Begun | GenerationResult], None],
        make_grammar: Callable[[bytes], GrammarConstraint],
    ) -> None:
        self._network = network
        self._slots: list[Sequence | None] = [None] * slots
        self._send = send
        self._make_grammar = make_grammar
        self._ngrams = NGramCache()

    @property
    def free_slots(self) -> int:
        return self._slots.count(None)

    @property
    def is_busy(self) -> bool:
        """Return true if there is something to decode."""
        return self.free_slots < len(self._slots)

    def start(self, request: Generate, prompt: list[int] | int) -> None:
        """Give a request with a tokenized prompt a free slot.

        A prompt that is only a number of tokens is too long.
        """
        if isinstance(prompt, int):
            self._send(
                GenerationResult(
                    number=request.number, text="", end="context", prompt_tokens=prompt
                )
            )
            return
        try:
            grammar = self._make_grammar(request.schema) if request.schema is not None else None
        except ValueError as error:
            self._send(
                GenerationResult(
                    number=request.number, text=str(error), end="refused", prompt_tokens=len(prompt)
                )
            )
            return
        if not prompt:
            self._send(
                GenerationResult(
                    number=request.number,
                    text="the prompt is empty",
                    end="refused",
                    prompt_tokens=0,
                )
            )
            return
        limit = self._network.context - len(prompt)
        if request.max_tokens is not None:
            limit = max(1, min(request.max_tokens, limit))
        slot = self._slots.index(None)
        sequence = Sequence(request, prompt, limit, grammar=grammar)
        if request.choices:
            sequence.choices = self._network.tokenize_choices(request.choices)
            if len({tokens[0] for tokens in sequence.choices}) < len(request.choices):
                sequence.refuse("the vocabulary has no separate first token for each choice")
                self._send(sequence.result())
                return
        sequence.sampler = self._network.sampler(request.sampling, request.seed)
        sequence.evaluated = self._network.begin(slot, prompt)
        if self._network.can_rewind and not request.choices:
            sequence.prompt_lookup = PromptLookup(prompt, sequence.evaluated, self._ngrams)
        self._slots[slot] = sequence
        self._send(Begun(request.number))

    def cancel(self, number: int) -> None:
        """End request `number` if it has a slot here."""
        for slot, sequence in enumerate(self._slots):
            if sequence is not None and sequence.request.number == number:
                self._finish(slot, sequence)

    def step(self) -> None:
        """Decode one batch: a token or more of each answer, and as much of new prompts as fits."""
        batch, entries = self._fill_batch()
        if batch.tokens:
            self._network.decode(batch)
        if entries:
            self._append_tokens(entries, self._network.logits(batch.rows))

    def _finish(self, slot: int, sequence: Sequence) -> None:
        self._slots[slot] = None
        self._network.release(slot)
        if sequence.sampler is not None:
            sequence.sampler.close()
        if sequence.prompt_lookup is not None:
            sequence.prompt_lookup.close()
        self._send(sequence.result())

    def _fill_batch(self) -> tuple[Batch, list[BatchEntry]]:
        """Put running answers into the batch first. Prompts get the rest."""
        batch, entries = Batch(), []
        active = [(slot, one) for slot, one in enumerate(self._slots) if one is not None]
        generating = [(slot, sequence) for slot, sequence in active if sequence.is_generating]
        all_drafts = self._draft(generating) if len(generating) == len(active) else {}
        tokens_left = self._network.batch - len(generating)
        for slot, sequence in active:
            drafts = all_drafts.get(slot, ())
            outputs = 1 + len(drafts)
            if sequence.is_generating:
                batch.add(slot, sequence.position, [sequence.last_token, *drafts], outputs)
            else:
                start = sequence.evaluated
                piece = sequence.prompt[start : start + tokens_left]
                tokens_left -= len(piece)
                sequence.evaluated += len(piece)
                batch.add(slot, start, piece, int(sequence.is_generating))
            if sequence.is_generating:
                at, row = len(batch.tokens) - outputs, batch.rows - outputs
                entries.append(
                    BatchEntry(at=at, row=row, slot=slot, sequence=sequence, drafts=drafts)
                )
        return batch, entries

    def _draft(self, generating: list[tuple[int, Sequence]]) -> dict[int, list[int]]:
        """Draft equally many tokens for each answer, if enough of them can be predicted.

        llama.cpp evaluates sequences with equally many tokens together, so an answer without a good
        draft gets a bad one.
        """
        network = self._network
        if len(generating) * (1 + DRAFTED) > network.batch or any(
            sequence.position + DRAFTED >= network.context for _, sequence in generating
        ):
            return {}
        lookups = {
            slot: sequence.prompt_lookup
            for slot, sequence in generating
            if sequence.prompt_lookup is not None
        }
        if 2 * sum(lookup.can_draft for lookup in lookups.values()) < max(1, len(generating)):
            return {}
        return {slot: lookup.draft() for slot, lookup in lookups.items()}

    def _append_tokens(self, entries: list[BatchEntry], logits: Any) -> None:
        """Choose the token after each entry and append it, while the drafts are correct.

        Shape: logits (rows, vocabulary) float32.
        """
        greedy = all(
            entry.sequence.sampler is None and entry.sequence.grammar is None for entry in entries
        )
        likeliest = logits.argmax(axis=1).tolist() if greedy else None
        for entry in entries:
            sequence = entry.sequence
            if sequence.choices is not None:
                sequence.choose(logits[entry.row])
                self._finish(entry.slot, sequence)
                continue
            for ahead in range(1 + len(entry.drafts)):
                row = entry.row + ahead
                token = (
                    likeliest[row]
                    if likeliest is not None
                    else self._choose(sequence, logits[row], entry.at + ahead)
                )
                self._append(sequence, token)
                if (
                    sequence.end is not None
                    or ahead == len(entry.drafts)
                    or token != entry.drafts[ahead]
                ):
                    break
            if sequence.end is not None:
                self._finish(entry.slot, sequence)
            elif ahead < len(entry.drafts):
                self._network.rewind(entry.slot, sequence.position)

    def _append(self, sequence: Sequence, token: int) -> None:
        text = self._network.token_texts[token]
        if text is None:
            sequence.end = "stop"
        else:
            sequence.append(token, text)
        if sequence.grammar is not None:
            self._advance_grammar(sequence, sequence.grammar, token)

    @staticmethod
    def _advance_grammar(sequence: Sequence, grammar: GrammarConstraint, token: int) -> None:
        try:
            if grammar.accept(token):
                sequence.end = "stop"
        except GrammarLost as error:
            sequence.refuse(str(error))

    @staticmethod
    def _choose(sequence: Sequence, logits: Any, at: int) -> int:
        if sequence.grammar is not None:
            sequence.grammar.mask(logits)
        return int(logits.argmax()) if sequence.sampler is None else sequence.sampler.choose(at)
