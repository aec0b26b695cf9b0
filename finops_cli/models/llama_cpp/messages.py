"""The protocol between finops and a worker process: typed messages in frames, over stdin and
stdout.
"""

from __future__ import annotations

import struct
from typing import IO, Literal

import msgspec
from msgspec import Struct

End = Literal["stop", "length", "cancelled", "context", "refused"]
"""The reason why an answer ended.

`context`: the prompt is longer than the context. `refused`: nothing can be decoded; `text` gives
the reason.
"""


class Sampling(Struct, frozen=True, kw_only=True):
    """Settings for the choice of tokens."""

    temperature: float = 0.0
    """At 0 the likeliest token is chosen."""
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    penalised: int = 64
    """Number of latest tokens of the answer that the penalty covers."""


class Load(Struct, frozen=True, kw_only=True, tag=True):
    """The first message: the model and its settings."""

    path: str
    context: int
    """Tokens of a prompt and its answer together."""
    sequences: int = 8
    """Answers in one batch."""
    groups: int = 1
    """Batches that are decoded at the same time."""
    threads: int = 1
    """Threads per batch."""
    batch: int = 512
    """Prompt tokens that are evaluated at once."""
    gpu_layers: int = -1
    """-1: all layers."""
    prefix: str = ""
    """The text that all prompts begin with."""
    adapter: str = ""
    """A folder that PEFT saved; for a model that is a folder."""
    load_in_4bit: bool = False
    """Quantize a folder's weights to NF4 while loading them."""


class Generate(Struct, frozen=True, kw_only=True, tag=True):
    """A request for an answer."""

    number: int
    prompt: str
    seed: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    """Maximum number of tokens; None: as many as the context allows."""
    schema: bytes | None = None
    """A JSON Schema that the answer must match."""
    choices: tuple[str, ...] = ()
    """The only answers, where they are a few words: nothing is generated, and the result has the
    logit of the first token of each.
    """


class Cancel(Struct, frozen=True, tag=True):
    """End request `number` now. The text so far is returned."""

    number: int


class Loaded(Struct, frozen=True, tag=True):
    """The model is ready."""

    has_gpu: bool = False
    """True if llama.cpp can use a GPU here, so that the model need not share the processor."""


class Unloadable(Struct, frozen=True, tag=True):
    """The model cannot be loaded, and the process ends."""

    why: str


class Begun(Struct, frozen=True, tag=True):
    """Request `number` now has a sequence of its own."""

    number: int


class GenerationResult(Struct, frozen=True, kw_only=True, tag=True):
    """The answer to request `number`."""

    number: int
    text: str
    end: End
    prompt_tokens: int
    """Counted, not estimated."""
    tokens: int = 0
    generating_ms: float = 0.0
    """Time from the first token of the answer to the last, in milliseconds."""
    choice_logits: tuple[float, ...] = ()
    """The logit of each choice of the request, in order."""
    are_whole: bool = False
    """True if each choice is a single token, so its logit is the logit of the whole answer."""


ToWorker = Load | Generate | Cancel
FromWorker = Loaded | Unloadable | Begun | GenerationResult
_ENCODER = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct(">I")
TO_WORKER: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """Encode `message`, preceded by its length.

    Raises UnicodeEncodeError for text that is not valid Unicode (a lone surrogate).
    """
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


def next_frame(stream: IO[bytes]) -> bytes | None:
    """Return the body of the next message; None at the end of the stream, also within a message."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    body = stream.read(length)
    return body if len(body) == length else None
