"""Several answers in one batch: each has a seat, and when one is over the next request takes its
seat at once.
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
    """What a table needs of a network (`decoder.network.Network`)."""

    batch: int
    context: int
    can_take_back: bool

    @property
    def words(self) -> Mapping[int, bytes | None]: ...

    def begin(self, sequence: int, tokens: list[int]) -> int: ...

    def release(self, sequence: int) -> None: ...

    def take_back(self, sequence: int, position: int) -> None: ...

    def decode(self, batch: Batch) -> None: ...

    def logits(self, rows: int) -> Any: ...

    def chooser(self, sampling: Sampling, seed: int) -> Sampler | None: ...


class BatchEntry(NamedTuple):
    """Where the logits of an answer come from: the token at `at` of the batch and the `guessed`
    ones behind it.

    `row`: which of the logits of the batch are the first of them.
    """

    at: int
    row: int
    seat: int
    speech: Sequence
    guessed: abc.Sequence[int]


class Scheduler:
    """`seats` answers at once. `tell` sends what there is to tell; `holds` gives what holds an
    answer to a schema.

    Seats are taken lowest first and a batch goes through them in order: llama.cpp evaluates
    neighbouring sequences together.
    """

    def __init__(
        self,
        network: DecodingContext,
        seats: int,
        tell: Callable[[Begun | GenerationResult], None],
        holds: Callable[[bytes], GrammarConstraint],
    ) -> None:
        self._network = network
        self._seats: list[Sequence | None] = [None] * seats
        self._tell = tell
        self._holds = holds
        self._heard = NGramCache()

    @property
    def free(self) -> int:
        """Seats that nobody has."""
        return self._seats.count(None)

    @property
    def busy(self) -> bool:
        """Whether anything is left to decode."""
        return self.free < len(self._seats)

    def seat(self, say: Generate, prompt: list[int] | int) -> None:
        """Give a request a free seat, its prompt tokenised; a number alone is that of a prompt too
        long.
        """
        if isinstance(prompt, int):
            self._tell(GenerationResult(say.number, "", "context", prompt))
            return
        try:
            hold = self._holds(say.schema) if say.schema is not None else None
        except ValueError as error:
            self._tell(GenerationResult(say.number, str(error), "refused", len(prompt)))
            return
        if not prompt:
            self._tell(GenerationResult(say.number, "the prompt is empty", "refused", 0))
            return
        room, seat = self._network.context - len(prompt), self._seats.index(None)
        speech = Sequence(
            say,
            prompt,
            room if say.max_tokens is None else max(1, min(say.max_tokens, room)),
            hold=hold,
        )
        speech.choice = self._network.chooser(say.sampling, say.seed)
        speech.fed = self._network.begin(seat, prompt)
        if self._network.can_take_back:
            speech.guesser = PromptLookup(prompt, speech.fed, self._heard)
        self._seats[seat] = speech
        self._tell(Begun(say.number))

    def cancel(self, number: int) -> None:
        """End that request; one that has no seat here is left alone."""
        for seat, speech in enumerate(self._seats):
            if speech is not None and speech.asked.number == number:
                self._dismiss(seat, speech)

    def step(self) -> None:
        """One batch: a token or more for each answer, and of the prompts of those who came as much
        as it has room for.
        """
        batch, places = self._filled()
        if batch.tokens:
            self._network.decode(batch)
        if places:
            self._hear(places, self._network.logits(batch.rows))

    def _dismiss(self, seat: int, speech: Sequence) -> None:
        self._seats[seat] = None
        self._network.release(seat)
        if speech.choice is not None:
            speech.choice.close()
        if speech.guesser is not None:
            speech.guesser.close()
        self._tell(speech.said())

    def _filled(self) -> tuple[Batch, list[BatchEntry]]:
        """The answers that are being said come first in its room, prompts take what is left."""
        batch, places = Batch(), []
        seated = [(seat, speech) for seat, speech in enumerate(self._seats) if speech is not None]
        saying = [(seat, speech) for seat, speech in seated if speech.saying]
        guesses = self._guesses(saying) if len(saying) == len(seated) else {}
        room = self._network.batch - len(saying)
        for seat, speech in seated:
            guessed = guesses.get(seat, ())
            if speech.saying:
                batch.add(seat, speech.position, [speech.last, *guessed], 1 + len(guessed))
            else:
                piece = speech.prompt[speech.fed : speech.fed + room]
                room -= len(piece)
                fed, speech.fed = speech.fed, speech.fed + len(piece)
                batch.add(seat, fed, piece, int(speech.saying))
            if speech.saying:
                wanted = 1 + len(guessed)
                places.append(
                    BatchEntry(
                        len(batch.tokens) - wanted, batch.rows - wanted, seat, speech, guessed
                    )
                )
        return batch, places

    def _guesses(self, saying: list[tuple[int, Sequence]]) -> dict[int, list[int]]:
        """What each of them may say next, where enough is foreseen to be worth the larger batch:
        equally many tokens for each.

        llama.cpp evaluates together what has equally many tokens in a batch, so whoever has no good
        guess gets a bad one.
        """
        network = self._network
        if len(saying) * (1 + DRAFTED) > network.batch or any(
            s.position + DRAFTED >= network.context for _, s in saying
        ):
            return {}
        guessers = {seat: speech.guesser for seat, speech in saying if speech.guesser is not None}
        if 2 * sum(guesser.knows for guesser in guessers.values()) < max(1, len(saying)):
            return {}
        return {seat: guesser.guess() for seat, guesser in guessers.items()}

    def _hear(self, places: list[BatchEntry], logits: Any) -> None:
        """Choose the tokens that follow at each of `places` and take them down, as far as the
        guessed ones are right.
        """
        plain = all(place.speech.choice is None and place.speech.hold is None for place in places)
        likeliest = logits.argmax(axis=1).tolist() if plain else None
        for place in places:
            speech = place.speech
            for ahead in range(1 + len(place.guessed)):
                row = place.row + ahead
                token = (
                    likeliest[row]
                    if likeliest is not None
                    else self._chosen(speech, logits[row], place.at + ahead)
                )
                self._take_down(speech, token)
                if (
                    speech.end is not None
                    or ahead == len(place.guessed)
                    or token != place.guessed[ahead]
                ):
                    break
            if speech.end is not None:
                self._dismiss(place.seat, speech)
            elif ahead < len(place.guessed):
                self._network.take_back(place.seat, speech.position)

    def _take_down(self, speech: Sequence, token: int) -> None:
        word = self._network.words[token]
        if word is None:
            speech.end = "stop"
        else:
            speech.hear(token, word)
        if speech.hold is not None:
            self._held(speech, speech.hold, token)

    @staticmethod
    def _held(speech: Sequence, hold: GrammarConstraint, token: int) -> None:
        try:
            if hold.accept(token):
                speech.end = "stop"
        except GrammarLost as error:
            speech.refuse(str(error))

    @staticmethod
    def _chosen(speech: Sequence, logits: Any, at: int) -> int:
        if speech.hold is not None:
            speech.hold.allow(logits)
        return int(logits.argmax()) if speech.choice is None else speech.choice.choose(at)
