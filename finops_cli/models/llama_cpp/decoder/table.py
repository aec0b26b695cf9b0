"""Several answers in one batch: each has a seat, and when one is over the next request takes its seat at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from finops_cli.models.llama_cpp.decoder.speech import Choice, Hold, HoldLost, Speech
from finops_cli.models.llama_cpp.wire import Begun, Said, Sampling, Say


class Decodes(Protocol):
    """What a table needs of a network (`decoder.network.Network`)."""

    batch: int
    context: int
    tokens: Any
    positions: Any
    sequences: Any
    wanted: Any

    @property
    def words(self) -> Mapping[int, bytes | None]: ...

    def begin(self, sequence: int, tokens: list[int]) -> int: ...

    def release(self, sequence: int) -> None: ...

    def decode(self, count: int) -> None: ...

    def logits(self, rows: int) -> Any: ...

    def chooser(self, sampling: Sampling, seed: int) -> Choice | None: ...


class Place(NamedTuple):
    """Where the logits of an answer come from: the token at `at` of the batch."""

    at: int
    seat: int
    speech: Speech


class Table:
    """`seats` answers at once. `tell` sends what there is to tell; `holds` gives what holds an answer to a schema.

    Seats are taken lowest first and a batch goes through them in order: llama.cpp evaluates neighbouring sequences together.
    """

    def __init__(
        self, network: Decodes, seats: int, tell: Callable[[Begun | Said], None], holds: Callable[[bytes], Hold]
    ) -> None:
        self._network = network
        self._seats: list[Speech | None] = [None] * seats
        self._tell = tell
        self._holds = holds
        self._places: list[Place] = []
        self._plain = True
        self._steady = 0
        """How many answers the last batch continued with one token each, if it did nothing else and none of them is over; else 0."""

    @property
    def free(self) -> int:
        """Seats that nobody has."""
        return self._seats.count(None)

    @property
    def busy(self) -> bool:
        """Whether anything is left to decode."""
        return self.free < len(self._seats)

    def seat(self, say: Say, prompt: list[int] | int) -> None:
        """Give a request a free seat, its prompt tokenised; a number alone is that of a prompt too long."""
        if isinstance(prompt, int):
            self._tell(Said(say.number, "", "context", prompt))
            return
        try:
            hold = self._holds(say.schema) if say.schema is not None else None
        except ValueError as error:
            self._tell(Said(say.number, str(error), "refused", len(prompt)))
            return
        if not prompt:
            self._tell(Said(say.number, "the prompt is empty", "refused", 0))
            return
        room, seat = self._network.context - len(prompt), self._seats.index(None)
        speech = Speech(say, prompt, room if say.predict is None else max(1, min(say.predict, room)), hold=hold)
        speech.choice = self._network.chooser(say.sampling, say.seed)
        speech.fed = self._network.begin(seat, prompt)
        self._seats[seat] = speech
        self._steady = 0
        self._tell(Begun(say.number))

    def cancel(self, number: int) -> None:
        """End that request; one that has no seat here is left alone."""
        for seat, speech in enumerate(self._seats):
            if speech is not None and speech.asked.number == number:
                self._dismiss(seat, speech)

    def step(self) -> None:
        """One batch: a token more for each answer, and of the prompts of those who came as much as it has room for."""
        places, count = self._continued() if self._steady else self._filled()
        if count:
            self._network.decode(count)
        if places:
            self._hear(places)

    def _dismiss(self, seat: int, speech: Speech) -> None:
        self._seats[seat] = None
        self._steady = 0
        self._network.release(seat)
        if speech.choice is not None:
            speech.choice.close()
        self._tell(speech.said())

    def _continued(self) -> tuple[list[Place], int]:
        """The batch of before, one token on."""
        count, network = self._steady, self._network
        network.tokens[:count] = [place.speech.last for place in self._places]
        network.positions[:count] += 1
        return self._places, count

    def _filled(self) -> tuple[list[Place], int]:
        """A batch from nothing: the answers that are being said come first in its room, prompts take what is left."""
        seated = [(seat, speech) for seat, speech in enumerate(self._seats) if speech is not None]
        saying = sum(speech.fed == len(speech.prompt) for _, speech in seated)
        room, count, places = self._network.batch - saying, 0, []
        for seat, speech in seated:
            fed, length = speech.fed, len(speech.prompt)
            if fed == length:
                self._write(count, seat, [speech.last], length + speech.spoken - 1)
                count += 1
            else:
                piece = speech.prompt[fed : fed + room]
                self._write(count, seat, piece, fed)
                speech.fed += len(piece)
                room -= len(piece)
                count += len(piece)
            if speech.fed == length:
                self._network.wanted[count - 1] = 1
                places.append(Place(count - 1, seat, speech))
        self._places = places
        self._plain = all(place.speech.choice is None and place.speech.hold is None for place in places)
        self._steady = count if count == len(places) == len(seated) else 0
        return places, count

    def _write(self, start: int, seat: int, tokens: list[int], position: int) -> None:
        network, end = self._network, start + len(tokens)
        network.tokens[start:end] = tokens
        network.positions[start:end] = range(position, position + len(tokens))
        network.sequences[start:end] = seat
        network.wanted[start:end] = 0

    def _hear(self, places: list[Place]) -> None:
        """Choose a token for each of `places` and take it down."""
        logits, words = self._network.logits(len(places)), self._network.words
        chosen = (
            logits.argmax(axis=1).tolist() if self._plain else [self._chosen(*pair) for pair in zip(places, logits, strict=True)]
        )
        for place, token in zip(places, chosen, strict=True):
            speech, word = place.speech, words[token]
            if word is None:
                speech.end = "stop"
            else:
                speech.hear(token, word)
            if speech.hold is not None:
                self._held(speech, speech.hold, token)
            if speech.end is not None:
                self._dismiss(place.seat, speech)

    @staticmethod
    def _held(speech: Speech, hold: Hold, token: int) -> None:
        try:
            if hold.accept(token):
                speech.end = "stop"
        except HoldLost as error:
            speech.refuse(str(error))

    @staticmethod
    def _chosen(place: Place, logits: Any) -> int:
        speech = place.speech
        if speech.hold is not None:
            speech.hold.allow(logits)
        return int(logits.argmax()) if speech.choice is None else speech.choice.choose(place.at)
