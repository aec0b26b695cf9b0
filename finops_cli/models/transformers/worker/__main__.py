"""The main loop of a worker process: one thread reads requests, the main thread answers them.

The process ends with its parent.
"""

from __future__ import annotations

import os
import threading
import warnings
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

from finops_cli.models.llama_cpp.messages import (
    TO_WORKER,
    Cancel,
    Generate,
    Load,
    Loaded,
    ToWorker,
    Unloadable,
    next_frame,
)
from finops_cli.models.llama_cpp.worker_io import (
    exit_on_error,
    open_stdin,
    open_stdout,
    read_messages,
)

if TYPE_CHECKING:
    from finops_cli.models.transformers.worker.decoder import Decoder
    from finops_cli.models.transformers.worker.network import Network

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
"""Read by the packages on import: no network, no progress bars."""


def main() -> None:
    """Load the model of the first message, then answer requests until stdin ends."""
    os.environ.update(_ENVIRONMENT)
    warnings.filterwarnings("ignore", module=r"transformers|peft|torch|bitsandbytes")
    stdin, send = open_stdin(), open_stdout()
    first = next_frame(stdin)
    load = TO_WORKER.decode(first) if first is not None else None
    if not isinstance(load, Load):
        return
    messages: SimpleQueue[ToWorker] = SimpleQueue()
    threading.excepthook = exit_on_error
    # before the model is loaded: the end of stdin ends the loading too
    Thread(target=read_messages, args=(stdin, messages), daemon=True).start()
    network = _load(load)
    if isinstance(network, Unloadable):
        send(network)
        return
    from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory
    from finops_cli.models.transformers.worker.decoder import Decoder

    send(Loaded())
    waiting = Waiting(messages, load.sequences)
    _serve(Decoder(network, send, GrammarFactory(network), waiting.cancelled), waiting)


def _load(load: Load) -> Network | Unloadable:
    try:
        from finops_cli.models.transformers.worker.network import LoadFailed, Network
    except (ImportError, OSError, RuntimeError) as error:
        return Unloadable(f"transformers cannot be imported: {error}")
    try:
        return Network(load)
    except LoadFailed as error:
        return Unloadable(str(error))


class Waiting:
    """The requests that wait, and the numbers of those that were cancelled."""

    def __init__(self, messages: SimpleQueue[ToWorker], at_once: int) -> None:
        self._messages = messages
        self._at_once = at_once
        self._requests: list[Generate] = []
        self._cancelled: set[int] = set()

    def next_batch(self) -> list[Generate]:
        """Wait for a request; return as many as fit in a batch."""
        if not self._requests:
            self._take(self._messages.get())
        self._take_all()
        batch = self._requests[: self._at_once]
        del self._requests[: self._at_once]
        return batch

    def cancelled(self) -> set[int]:
        """Return the numbers of the requests that were cancelled so far."""
        self._take_all()
        return self._cancelled

    def forget(self, batch: list[Generate]) -> None:
        """Forget the cancellations of requests that are answered."""
        self._cancelled -= {request.number for request in batch}

    def _take_all(self) -> None:
        try:
            while True:
                self._take(self._messages.get(block=False))
        except Empty:
            return

    def _take(self, message: ToWorker) -> None:
        if isinstance(message, Generate):
            self._requests.append(message)
        elif isinstance(message, Cancel):
            self._cancelled.add(message.number)


def _serve(decoder: Decoder, waiting: Waiting) -> NoReturn:
    while True:
        batch = waiting.next_batch()
        decoder.answer(batch)
        waiting.forget(batch)


if __name__ == "__main__":
    main()
