"""The main loop of a worker process: one thread reads requests, one tokenizes them, one per group
decodes.

The process ends with its parent.
"""

from __future__ import annotations

import threading
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
    Send,
    exit_on_error,
    open_stdin,
    open_stdout,
    read_messages,
)

if TYPE_CHECKING:
    from finops_cli.models.llama_cpp.worker.context import DecodingNetwork, Model
    from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory

TokenizedRequest = tuple[Generate, list[int] | int]


def main() -> None:
    """Load the model of the first message, then answer requests until stdin ends."""
    stdin, send = open_stdin(), open_stdout()
    first = next_frame(stdin)
    load = TO_WORKER.decode(first) if first is not None else None
    if not isinstance(load, Load):
        return
    messages: SimpleQueue[ToWorker] = SimpleQueue()
    threading.excepthook = exit_on_error
    # before the model is loaded: the end of stdin ends the loading too
    Thread(target=read_messages, args=(stdin, messages), daemon=True).start()
    loaded = _load(load)
    if isinstance(loaded, Unloadable):
        send(loaded)
        return
    model, networks, make_grammar = loaded
    send(Loaded(has_gpu=model.has_gpu))
    waiting: SimpleQueue[TokenizedRequest] = SimpleQueue()
    groups = [
        WorkerGroup(network, load.sequences, waiting, send, make_grammar) for network in networks
    ]
    for group in groups:
        Thread(target=group.run, daemon=True).start()
    _dispatch(messages, model, waiting, groups)


def _load(load: Load) -> tuple[Model, list[DecodingNetwork], GrammarFactory] | Unloadable:
    try:
        from finops_cli.models.llama_cpp.worker.context import DecodingNetwork, LoadFailed, Model
        from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory
    except (ImportError, OSError, RuntimeError) as error:
        # llama-cpp-python raises RuntimeError for a library that does not load
        return Unloadable(f"llama-cpp-python cannot be imported: {error}")
    try:
        model = Model(load)
        return model, [DecodingNetwork(model) for _ in range(load.groups)], GrammarFactory(model)
    except LoadFailed as error:
        return Unloadable(str(error))


class WorkerGroup:
    """A scheduler with its own thread, which takes waiting requests when slots become free."""

    def __init__(
        self,
        network: DecodingNetwork,
        slots: int,
        waiting: SimpleQueue[TokenizedRequest],
        send: Send,
        make_grammar: GrammarFactory,
    ) -> None:
        from finops_cli.models.llama_cpp.worker.scheduler import Scheduler

        self._scheduler = Scheduler(network, slots, send, make_grammar)
        self._waiting = waiting
        self.cancelled: SimpleQueue[int] = SimpleQueue()

    def run(self) -> NoReturn:
        """Decode without end."""
        while True:
            self._fill_slots()
            while not self.cancelled.empty():
                self._scheduler.cancel(self.cancelled.get())
            self._scheduler.step()

    def _fill_slots(self) -> None:
        """Start waiting requests in the free slots. If all slots are free, wait for a request."""
        try:
            while self._scheduler.free_slots:
                self._scheduler.start(*self._waiting.get(block=not self._scheduler.is_busy))
        except Empty:
            return


def _dispatch(
    messages: SimpleQueue[ToWorker],
    model: Model,
    waiting: SimpleQueue[TokenizedRequest],
    groups: list[WorkerGroup],
) -> NoReturn:
    """Tokenize requests in a separate thread, so that a long prompt does not delay answers."""
    while True:
        message = messages.get()
        if isinstance(message, Generate):
            waiting.put((message, model.tokenize(message.prompt)))
        elif isinstance(message, Cancel):
            for group in groups:
                group.cancelled.put(message.number)


if __name__ == "__main__":
    main()
