"""The outbox of a run: `OUT.hooks.jsonl` has each event, and what became of it at each hook.

A line is written before an event goes out, and one after it arrived. So an event that a killed run
did not deliver is delivered by `--resume`, and one may come twice, but none is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain import exact_json
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.files.safe_io import for_owner
from finops_cli.monitoring.events import Event


class Entry(Struct, frozen=True, kw_only=True):
    """One line of the outbox: an event, or its delivery to a hook."""

    number: int
    """The number of the event, from 1."""
    event: Event | UnsetType = UNSET
    hook: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    """`delivered`, or the reason why it was not."""


_DECODER = msgspec.json.Decoder(Entry)
DELIVERED = "delivered"


def outbox_path(output: Path) -> Path:
    """Return the path of the outbox of a run."""
    return output.with_name(f"{output.name}.hooks.jsonl")


class Outbox:
    """Appends to the outbox of a run. Every method may be called from any thread.

    `path` None keeps no file: what was not delivered is only reported.
    """

    def __init__(self, path: Path | None, *, continues: bool) -> None:
        """Open the outbox. `continues`: keep the events of an interrupted run."""
        self.path = path
        self._lock = Lock()
        self._events: dict[int, Event] = {}
        self._arrived: set[tuple[int, str]] = set()
        self.failures: dict[tuple[int, str], str] = {}
        """Why an event did not arrive at a hook, by its number and the hook."""
        if path is not None and continues and path.is_file():
            for entry in _read(path):
                self._note(entry)
        elif path is not None:
            path.unlink(missing_ok=True)

    @property
    def events(self) -> dict[int, Event]:
        """Return the events by their number."""
        return self._events

    def add(self, event: Event) -> int:
        """Write an event and return its number."""
        with self._lock:
            number = len(self._events) + 1
            self._append(Entry(number=number, event=event))
            return number

    def settle(self, number: int, hook: str, state: str = DELIVERED) -> None:
        """Write what became of an event at a hook."""
        with self._lock:
            self._append(Entry(number=number, hook=hook, state=state))

    def has_arrived(self, number: int, hook: str) -> bool:
        """Return true if the event was delivered to the hook."""
        return (number, hook) in self._arrived

    def _append(self, entry: Entry) -> None:
        self._note(entry)
        if self.path is not None:
            with open(self.path, "ab", opener=for_owner) as file:
                file.write(exact_json.encode(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _note(self, entry: Entry) -> None:
        if isinstance(entry.event, Event):
            self._events[entry.number] = entry.event
        elif isinstance(entry.hook, str):
            key = (entry.number, entry.hook)
            if entry.state == DELIVERED:
                self._arrived.add(key)
                self.failures.pop(key, None)
            else:
                self.failures[key] = str(entry.state)


def _read(path: Path) -> Iterator[Entry]:
    """Yield the entries; a line that a kill cut off is left out."""
    with path.open("rb") as file:
        for line in file:
            try:
                yield _DECODER.decode(line)
            except UNREADABLE:
                continue
