"""Answer requests in batches: generate texts, or compute the logits of a few choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers import StoppingCriteriaList as Criteria

from finops_cli.models.llama_cpp.messages import Begun, Generate, GenerationResult
from finops_cli.models.llama_cpp.worker.sequence import GrammarConstraint, GrammarLost, Sequence
from finops_cli.models.transformers.worker.network import Network
from finops_cli.models.transformers.worker.sampling import TokenSampler
from finops_cli.models.transformers.worker.text_pieces import TextPieces

Send = Callable[[Begun | GenerationResult], None]


class Row(NamedTuple):
    """One answer of a batch."""

    sequence: Sequence
    sampler: TokenSampler
    pieces: TextPieces


class Decoder:
    """Answers batches of requests with one model."""

    def __init__(
        self,
        network: Network,
        send: Send,
        make_grammar: Callable[[bytes], GrammarConstraint],
        cancelled: Callable[[], set[int]],
    ) -> None:
        self._network = network
        self._send = send
        self._make_grammar = make_grammar
        self._cancelled = cancelled

    def answer(self, requests: Iterable[Generate]) -> None:
        """Answer each request. The answers of a batch are sent as they end."""
        sequences = [found for one in requests if (found := self._begin(one)) is not None]
        choosing = [each for each in sequences if each.request.choices]
        writing = [each for each in sequences if not each.request.choices]
        with torch.inference_mode():
            if choosing and self._network.is_classifier:
                self._classify(choosing)
            elif choosing:
                self._choose(choosing)
            if writing:
                self._write(writing)

    def _begin(self, request: Generate) -> Sequence | None:
        """Tokenize a request; None if it is answered at once because it cannot be decoded."""
        network = self._network
        try:
            prompt = network.tokenize(request.prompt)
            grammar = self._make_grammar(request.schema) if request.schema is not None else None
        except ValueError as error:
            self._refuse(request, str(error))
            return None
        if network.is_classifier and not request.choices:
            self._refuse(request, "the model labels texts and writes none")
            return None
        if not prompt:
            self._refuse(request, "the prompt is empty")
            return None
        if len(prompt) >= network.context and not network.is_classifier:
            self._send(
                GenerationResult(
                    number=request.number, text="", end="context", prompt_tokens=len(prompt)
                )
            )
            return None
        limit = max(1, network.context - len(prompt))
        if request.max_tokens is not None:
            limit = max(1, min(request.max_tokens, limit))
        self._send(Begun(request.number))
        return Sequence(request, prompt, limit, grammar=grammar)

    def _refuse(self, request: Generate, reason: str) -> None:
        self._send(
            GenerationResult(number=request.number, text=reason, end="refused", prompt_tokens=0)
        )

    def _write(self, sequences: list[Sequence]) -> None:
        """Generate all answers at once. Each has its own settings, seed, grammar and end."""
        rows = [
            Row(
                each,
                TokenSampler(each.request.sampling, each.request.seed),
                TextPieces(self._network.tokenizer),
            )
            for each in sequences
        ]
        chooser = RowChooser(rows, self._network, self._send, self._cancelled)
        inputs = self._pad([each.prompt for each in sequences])
        self._network.model.generate(
            **inputs,
            max_new_tokens=max(each.tokens_left for each in sequences),
            do_sample=False,
            use_cache=True,
            logits_processor=LogitsProcessorList([chooser]),
            stopping_criteria=Criteria([RowsEnded(chooser)]),
        )
        for row in rows:
            chooser.finish(row)

    def _choose(self, sequences: list[Sequence]) -> None:
        """Compute the logits of the choices, and answer with the likeliest one."""
        for sequence in sequences:
            sequence.choices = [
                list(self._network.tokenizer(choice, add_special_tokens=False).input_ids)
                for choice in sequence.request.choices
            ]
        alike = [one for one in sequences if all(len(each) == 1 for each in one.choices or ())]
        if alike:
            inputs = self._pad([each.prompt for each in alike])
            logits = self._network.model(**inputs, logits_to_keep=1).logits[:, -1].float().cpu()
            for sequence, row in zip(alike, logits, strict=True):
                sequence.choose(row.numpy())
                self._send(sequence.result())
        for sequence in sequences:
            if sequence not in alike:
                self._send(self._weigh(sequence))

    def _weigh(self, sequence: Sequence) -> GenerationResult:
        """Compute the logarithms of the probabilities of choices of several tokens."""
        choices = sequence.choices or []
        inputs = self._pad([[*sequence.prompt, *choice] for choice in choices])
        keep = max(map(len, choices)) + 1
        logits = self._network.model(**inputs, logits_to_keep=keep).logits.float().log_softmax(-1)
        totals = []
        for row, choice in zip(logits, choices, strict=True):
            places = range(keep - 1 - len(choice), keep - 1)
            totals.append(
                sum(float(row[place, token]) for place, token in zip(places, choice, strict=True))
            )
        best = max(range(len(totals)), key=totals.__getitem__)
        return GenerationResult(
            number=sequence.request.number,
            text=sequence.request.choices[best],
            end="stop",
            prompt_tokens=len(sequence.prompt),
            choice_logits=tuple(totals),
            are_whole=True,
        )

    def _classify(self, sequences: list[Sequence]) -> None:
        """Label texts with a classifier. A text that is too long is cut at its end."""
        network = self._network
        size = network.context
        texts = [each.request.prompt for each in sequences]
        inputs = network.tokenizer(
            texts, truncation=True, max_length=size, padding=True, return_tensors="pt"
        ).to(network.device)
        logits = network.model(**inputs).logits.float().cpu().tolist()
        places = {str(name).lower(): int(at) for at, name in network.model.config.id2label.items()}
        for sequence, row in zip(sequences, logits, strict=True):
            self._send(_label(sequence, row, places))

    def _pad(self, prompts: list[list[int]]) -> dict[str, Any]:
        """Fill short prompts on their left, so that all answers begin at one place.

        Shape: (prompts, longest) int64.
        """
        longest, fill = max(map(len, prompts)), self._network.padding
        ids = [[fill] * (longest - len(each)) + each for each in prompts]
        mask = [[0] * (longest - len(each)) + [1] * len(each) for each in prompts]
        device = self._network.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }


class RowChooser(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of each row, and makes it the only possible one."""

    def __init__(
        self, rows: list[Row], network: Network, send: Send, cancelled: Callable[[], set[int]]
    ) -> None:
        self.rows = rows
        self._network = network
        self._send = send
        self._cancelled = cancelled
        self._sent: set[int] = set()

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Choose. Shape: scores (rows, vocabulary) float32."""
        del input_ids
        cancelled = self._cancelled()
        end = min(self._network.ends)
        chosen = []
        for row, logits in zip(self.rows, scores, strict=True):
            sequence = row.sequence
            if sequence.end is None and sequence.request.number in cancelled:
                sequence.end = "cancelled"
            if sequence.end is None:
                chosen.append(self._next(row, logits.float().cpu()))
            else:
                chosen.append(end)
            if sequence.end is not None:
                self.finish(row)
        forced = torch.full_like(scores, -torch.inf)
        forced[torch.arange(len(chosen)), torch.tensor(chosen)] = 0
        return forced

    def finish(self, row: Row) -> None:
        """Send the answer of a row, once."""
        number = row.sequence.request.number
        if number not in self._sent:
            self._sent.add(number)
            self._send(row.sequence.result())

    def _next(self, row: Row, logits: Any) -> int:
        """Choose a token, and append its text."""
        sequence = row.sequence
        if sequence.grammar is not None:
            sequence.grammar.mask(logits.numpy())
        token = row.sampler.choose(logits)
        if token in self._network.ends:
            sequence.end = "stop"
        else:
            sequence.append(token, row.pieces.append(token))
        if sequence.grammar is not None:
            try:
                if sequence.grammar.accept(token):
                    sequence.end = "stop"
            except GrammarLost as error:
                sequence.refuse(str(error))
        return token


class RowsEnded(StoppingCriteria):  # type: ignore[misc]
    """Ends a row when its answer has ended."""

    def __init__(self, chooser: RowChooser) -> None:
        self._chooser = chooser

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return true for each row that has ended. Shape: (rows,) bool."""
        del scores
        ended = [row.sequence.end is not None for row in self._chooser.rows]
        return torch.tensor(ended, device=input_ids.device)


def _label(sequence: Sequence, logits: list[float], places: dict[str, int]) -> GenerationResult:
    """Return the logits of the choices of a request, by the names of the model's labels."""
    choices = sequence.request.choices
    missing = [choice for choice in choices if choice not in places]
    if missing:
        return GenerationResult(
            number=sequence.request.number,
            text=f"the model has no label {missing[0]}; its labels are {', '.join(places)}",
            end="refused",
            prompt_tokens=len(sequence.prompt),
        )
    found = [logits[places[choice]] for choice in choices]
    best = max(range(len(found)), key=found.__getitem__)
    return GenerationResult(
        number=sequence.request.number,
        text=choices[best],
        end="stop",
        prompt_tokens=len(sequence.prompt),
        choice_logits=tuple(found),
        are_whole=True,
    )
