"""A worker process that speaks the protocol of the llama.cpp worker under a limit of memory.

It needs no model: its memory is an array of `BYTES` for each token of all its sequences, which it
allocates when it answers. Above the limit of the system (RLIMIT_AS) it dies of a MemoryError, as
a worker does that runs out of memory.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from finops_cli.models.llama_cpp.messages import (
    TO_WORKER,
    Begun,
    Generate,
    GenerationResult,
    Load,
    Loaded,
    frame,
    next_frame,
)

BYTES = 100_000


def main(room: int) -> None:
    """Answer until the input ends; `room` bytes may be allocated beyond those at the start."""
    load: Load | None = None
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    while (body := next_frame(sys.stdin.buffer)) is not None:
        message = TO_WORKER.decode(body)
        if isinstance(message, Load):
            load = message
            send(Loaded())
        elif isinstance(message, Generate) and load is not None:
            send(Begun(message.number))
            held = len(bytearray(BYTES * load.context * load.sequences * load.groups))
            text = f"{message.prompt} {held // BYTES}"
            tokens = len(message.prompt)
            send(GenerationResult(number=message.number, text=text, end="stop",
                                  prompt_tokens=tokens))  # fmt: skip


def send(message: Loaded | Begun | GenerationResult) -> None:
    sys.stdout.buffer.write(frame(message))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
