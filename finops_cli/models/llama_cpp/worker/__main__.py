"""The main loop: one thread reads what is asked, one tokenises it, one for each team decodes.

The process ends with whoever started it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, NoReturn

from finops_cli.models.llama_cpp.messages import (
    TO_WORKER,
    Cancel,
    FromWorker,
    Generate,
    Load,
    Loaded,
    ToWorker,
    Unloadable,
    frame,
    next_frame,
)

if TYPE_CHECKING:
    from finops_cli.models.llama_cpp.worker.context import DecodingNetwork, Model
    from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory

Tell = Callable[[FromWorker], None]
Asked = tuple[Generate, list[int] | int]


def main() -> None:
    """Load the model of the first message, then answer what is asked until stdin ends."""
    asked, tell = (
        os.fdopen(os.dup(0), "rb"),
        _tells(),
    )  # not sys.stdin: Python cannot close that while a thread reads
    first = next_frame(asked)
    load = TO_WORKER.decode(first) if first is not None else None
    if not isinstance(load, Load):
        return
    heard: SimpleQueue[ToWorker] = SimpleQueue()
    threading.excepthook = _end
    Thread(
        target=_read, args=(asked, heard), daemon=True
    ).start()  # before the model: whoever dies now ends the loading too
    loaded = _loaded(load)
    if isinstance(loaded, Unloadable):
        tell(loaded)
        return
    model, networks, holds = loaded
    tell(Loaded())
    waiting: SimpleQueue[Asked] = SimpleQueue()
    teams = [Team(network, load.sequences, waiting, tell, holds) for network in networks]
    for team in teams:
        Thread(target=team.run, daemon=True).start()
    _pass_on(heard, model, waiting, teams)


def _loaded(load: Load) -> tuple[Model, list[DecodingNetwork], GrammarFactory] | Unloadable:
    try:
        from finops_cli.models.llama_cpp.worker.context import DecodingNetwork, LoadFailed, Model
        from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory
    except (
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # llama-cpp-python raises the last for a library that does not load
        return Unloadable(f"llama-cpp-python cannot be imported: {error}")
    try:
        model = Model(load)
        return model, [DecodingNetwork(model) for _ in range(load.teams)], GrammarFactory(model)
    except LoadFailed as error:
        return Unloadable(str(error))


class Team:
    """A table and who sits down at it: those who wait, as soon as it has a seat."""

    def __init__(
        self,
        network: DecodingNetwork,
        seats: int,
        waiting: SimpleQueue[Asked],
        tell: Tell,
        holds: GrammarFactory,
    ) -> None:
        from finops_cli.models.llama_cpp.worker.scheduler import Scheduler

        self._table = Scheduler(network, seats, tell, holds)
        self._waiting = waiting
        self.cancelled: SimpleQueue[int] = SimpleQueue()

    def run(self) -> None:
        """Decode, for ever."""
        while True:
            self._seat()
            while not self.cancelled.empty():
                self._table.cancel(self.cancelled.get())
            self._table.step()

    def _seat(self) -> None:
        """Fill the free seats; wait for somebody where all are free."""
        try:
            while self._table.free:
                self._table.seat(*self._waiting.get(block=not self._table.busy))
        except Empty:
            return


def _tells() -> Tell:
    """What sends messages over stdout, from any thread.

    What else the process prints goes to stderr.
    """
    stdout, lock = os.fdopen(os.dup(1), "wb"), Lock()
    os.dup2(2, 1)

    def tell(message: FromWorker) -> None:
        with lock:
            stdout.write(frame(message))
            stdout.flush()

    return tell


def _end(trouble: threading.ExceptHookArgs) -> None:
    """A thread that cannot go on ends the process: whoever waits for an answer must hear of it."""
    sys.excepthook(trouble.exc_type, trouble.exc_value or trouble.exc_type(), trouble.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def _read(asked: IO[bytes], heard: SimpleQueue[ToWorker]) -> None:
    """Stdin ends when the model closes it or dies."""
    while (body := next_frame(asked)) is not None:
        heard.put(TO_WORKER.decode(body))
    os._exit(0)  # at once, in the middle of a load or a batch too


def _pass_on(
    heard: SimpleQueue[ToWorker], model: Model, waiting: SimpleQueue[Asked], teams: list[Team]
) -> NoReturn:
    """Tokenise, so that a long prompt keeps no answer waiting."""
    while True:
        message = heard.get()
        if isinstance(message, Generate):
            waiting.put((message, model.tokenised(message.prompt)))
        elif isinstance(message, Cancel):
            for team in teams:
                team.cancelled.put(message.number)


if __name__ == "__main__":
    main()
