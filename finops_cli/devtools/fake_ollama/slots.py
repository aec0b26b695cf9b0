"""Loaded models and their slots: Ollama's scheduler and the semaphore of each runner."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from finops_cli.devtools.fake_ollama.http_writer import ClientGone, timestamp
from finops_cli.devtools.fake_ollama.models import Model, short_name

FOREVER = timedelta(days=365 * 100)
_LOOK_AGAIN_SECONDS = 0.02
Gone = Callable[[], bool]
Settings = tuple[tuple[str, Any], ...]
"""The settings of a runner: another value of one of these loads the model again."""


class QueueFull(Exception):
    """More requests wait than OLLAMA_MAX_QUEUE allows."""


@dataclass
class Loaded:
    """A runner.

    `users` counts the requests that were assigned to it, running or waiting for a slot.
    """

    model: Model
    settings: Settings
    keep_alive: timedelta
    users: int = 0
    running: int = 0
    line: deque[object] = field(default_factory=deque)
    ends: bool = False
    """True when it ends with its last user."""
    has_died: bool = False
    """True when no further request may be assigned to it."""
    used: datetime = field(default_factory=lambda: datetime.now(UTC))

    def takes(self, model: Model, settings: Settings) -> bool:
        """Return true where a request for `model` with these settings may be assigned to it."""
        return not self.has_died and self.settings == settings and self.model == model

    def describe(self, has_gpu: bool) -> dict[str, Any]:
        """Make the entry in `/api/ps`."""
        model = self.model
        return {
            "name": model.full_name,
            "model": model.full_name,
            "size": model.size,
            "digest": model.digest,
            "details": model.details(),
            "expires_at": timestamp(self.used + self.keep_alive),
            "size_vram": model.size if has_gpu else 0,
            "context_length": dict(self.settings)["num_ctx"],
        }


class Slots:
    """Assigns runners to requests in order of arrival, and slots in the same order."""

    def __init__(
        self, num_parallel: int, max_queue: int, fits_both: bool, has_gpu: bool = True
    ) -> None:
        self._num_parallel, self._max_queue, self._fits_both = num_parallel, max_queue, fits_both
        self._has_gpu = has_gpu
        self._changed = threading.Condition()
        self._loaded: dict[str, Loaded] = {}
        self._line: deque[object] = deque()
        self.waiting = 0
        """How many requests wait for a runner or a slot."""
        self.loads: list[str] = []
        """Every load, in order, by model name without `:latest`."""
        self.most_at_once: dict[str, int] = {}
        self.most_models_at_once = 0

    def ps(self) -> list[dict[str, Any]]:
        """List the loaded models as `/api/ps` does."""
        with self._changed:
            self._expire()
            return [runner.describe(self._has_gpu) for runner in self._loaded.values()]

    def unload(self, model: Model) -> None:
        """End the runner of `model` after its last user."""
        with self._changed:
            runner = self._loaded.get(model.full_name)
            if runner is not None:
                runner.ends = True
                self._end_if_idle(runner)

    def drop(self, runner: Loaded) -> None:
        """Let a runner die: the next request loads its model again."""
        with self._changed:
            runner.has_died = runner.ends = True

    def unload_all(self) -> None:
        with self._changed:
            self._loaded.clear()
            self._line.clear()

    @contextmanager
    def runner(
        self, model: Model, settings: Settings, keep_alive: timedelta, gone: Gone
    ) -> Iterator[Loaded]:
        """Return a loaded runner for `model`.

        Raises QueueFull, or ClientGone when the client leaves.
        """
        runner = self._given_runner(model, settings, keep_alive, gone)
        try:
            yield runner
        finally:
            with self._changed:
                runner.users -= 1
                runner.used = datetime.now(UTC)
                self._end_if_idle(runner)
                self._changed.notify_all()

    @contextmanager
    def slot(self, runner: Loaded, gone: Gone) -> Iterator[Callable[[], None]]:
        """Hold a slot of `runner`, and return what frees it early. Raises like `runner`."""
        slots, name = runner.model.slots(self._num_parallel), short_name(runner.model.full_name)
        with self._changed, _in(runner.line) as ticket:
            self._until(lambda: runner.line[0] is ticket and runner.running < slots, gone)
            runner.running += 1
            self.most_at_once[name] = max(self.most_at_once.get(name, 0), runner.running)
            models = sum(one.running > 0 for one in self._loaded.values())
            self.most_models_at_once = max(self.most_models_at_once, models)
            self._changed.notify_all()
        has_left = False

        def leave() -> None:
            nonlocal has_left
            with self._changed:
                runner.running -= not has_left
                has_left = True
                self._changed.notify_all()

        try:
            yield leave
        finally:
            leave()

    def _given_runner(
        self, model: Model, settings: Settings, keep_alive: timedelta, gone: Gone
    ) -> Loaded:
        with self._changed, _in(self._line) as ticket:
            self._until(lambda: self._line[0] is ticket and self._make_room(model, settings), gone)
            runner = self._loaded.get(model.full_name)
            if runner is None:
                runner = self._loaded[model.full_name] = Loaded(model, settings, keep_alive)
                self.loads.append(short_name(model.full_name))
            runner.users += 1
            runner.keep_alive = keep_alive
            runner.ends = not keep_alive
            self._changed.notify_all()
            return runner

    def _make_room(self, model: Model, settings: Settings) -> bool:
        """Return true if `model` is loaded or can be loaded now; unload others as needed."""
        self._expire()
        mine = self._loaded.get(model.full_name)
        if mine is not None and mine.takes(model, settings):
            return True
        leaving = (
            [mine] if mine is not None else [] if self._fits_both else list(self._loaded.values())
        )
        if any(runner.users for runner in leaving):
            return False
        for runner in leaving:
            del self._loaded[runner.model.full_name]
        return True

    def _until(self, ready: Callable[[], bool], gone: Gone) -> None:
        if ready():
            return
        if self.waiting >= self._max_queue:
            raise QueueFull
        self.waiting += 1
        try:
            while not ready():
                self._changed.wait(_LOOK_AGAIN_SECONDS)
                if gone():
                    raise ClientGone
        finally:
            self.waiting -= 1

    def _end_if_idle(self, runner: Loaded) -> None:
        if runner.ends and not runner.users and self._loaded.get(runner.model.full_name) is runner:
            del self._loaded[runner.model.full_name]

    def _expire(self) -> None:
        now = datetime.now(UTC)
        for name, runner in list(self._loaded.items()):
            if not runner.users and runner.used + runner.keep_alive <= now:
                del self._loaded[name]


@contextmanager
def _in(line: deque[object]) -> Iterator[object]:
    """Hold a place at the end of `line` until the block ends."""
    ticket = object()
    line.append(ticket)
    try:
        yield ticket
    finally:
        if ticket in line:
            line.remove(ticket)
