"""The protocol between a model and its worker process: typed messages in frames, over the
process's stdin and stdout.
"""

from __future__ import annotations

import struct
from typing import IO, Literal

import msgspec
from msgspec import Struct

End = Literal["stop", "length", "cancelled", "context", "refused"]
"""Why an answer ended.

`context`: the prompt is longer than it; `refused`: nothing can be decoded, `text` says why.
"""


class Sampling(Struct, frozen=True):
    """How a token is chosen.

    Temperature 0: the likeliest one. `penalised`: over how many tokens of the answer the penalty
    looks.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    penalised: int = 64


class Load(Struct, frozen=True, tag=True):
    """The first message: the model, and the tokens that an answer may take with its prompt.
    `prefix`: how the prompts begin.

    `groups` batches are decoded side by side, each of `sequences` answers by `threads` threads;
    `batch`: prompt tokens evaluated in one go. `gpu_layers`: -1 is all of them.
    """

    path: str
    context: int
    sequences: int = 8
    groups: int = 1
    threads: int = 1
    batch: int = 512
    gpu_layers: int = -1
    prefix: str = ""


class Generate(Struct, frozen=True, tag=True):
    """A request.

    `max_tokens`: upper limit of tokens (None: what the context has room for). `schema`: constrains
    the answer to this JSON Schema.
    """

    number: int
    prompt: str
    seed: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    schema: bytes | None = None


class Cancel(Struct, frozen=True, tag=True):
    """End request `number` now; what was said so far comes back."""

    number: int


class Loaded(Struct, frozen=True, tag=True):
    """The model can be asked."""


class Unloadable(Struct, frozen=True, tag=True):
    """The model cannot be loaded; the process ends."""

    why: str


class Begun(Struct, frozen=True, tag=True):
    """Request `number` has a sequence of its own from now on."""

    number: int


class GenerationResult(Struct, frozen=True, tag=True):
    """The answer to request `number`.

    `prompt_tokens` are counted, not estimated. `generating_ms`: from its first token to its end.
    """

    number: int
    text: str
    end: End
    prompt_tokens: int
    tokens: int = 0
    generating_ms: float = 0.0


ToWorker = Load | Generate | Cancel
FromWorker = Loaded | Unloadable | Begun | GenerationResult
_ENCODER = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct(">I")
TO_WORKER: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """`message` as bytes, its length in front.

    Raises UnicodeEncodeError for a text that is no Unicode (a lone surrogate).
    """
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


def next_frame(stream: IO[bytes]) -> bytes | None:
    """The body of the next message; None at the end of the stream, also where it ends within a
    message.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    body = stream.read(length)
    return body if len(body) == length else None
