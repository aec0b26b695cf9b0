"""Refusals of requests from nobody known: a few entries for each address, then a count a minute.

Without that bound, anybody who reaches the service could fill the disk with its audit log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

_MINUTE = timedelta(minutes=1)
_MOST_ADDRESSES = 100
"""Addresses that are counted by themselves; further ones in the same minute share one count."""
_FURTHER = "further addresses"
_PREFIX = 64
"""Bits of an IPv6 address that are counted as one: a machine chooses the others freely."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """The refusals of one address in a minute."""

    address: str
    since: datetime
    until: datetime
    """The last refusal that was counted."""
    room: int
    """Refusals that still get an entry of their own."""
    problems: Counter[str] = field(default_factory=Counter)
    """The refusals without an entry of their own, by their problem."""

    @property
    def count(self) -> int:
        """Return how many refusals have no entry of their own."""
        return self.problems.total()

    def details(self) -> dict[str, Any]:
        """Return the details of the one entry that is written for all of them."""
        return {
            "address": self.address,
            "count": self.count,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "problems": dict(sorted(self.problems.items())),
        }


class Refusals:
    """Decides which refusal gets an entry of its own, and counts the others by address."""

    def __init__(self, each_minute: int) -> None:
        """`each_minute`: refusals of an address in a minute that get an entry of their own."""
        self._each_minute = each_minute
        self._tallies: dict[str, Tally] = {}

    def has_room(self, address: str, problem: str, at: datetime) -> bool:
        """Return true for a refusal that gets an entry of its own; else count it.

        Take the tallies that have ended (`take_ended`) before.
        """
        key = _network_of(address)
        if key not in self._tallies and len(self._tallies) >= _MOST_ADDRESSES:
            key = _FURTHER
        tally = self._tallies.get(key)
        if tally is None:
            tally = Tally(address=key, since=at, until=at, room=self._each_minute)
            self._tallies[key] = tally
        if tally.room > 0:
            tally.room -= 1
            return True
        tally.problems[problem] += 1
        tally.until = at
        return False

    def take_ended(self, at: datetime | None) -> list[Tally]:
        """Return the counts whose minute is over, and begin their next one. None: all of them.

        An address that went on beyond its room gets no entries of its own in the next minute
        either: only the count, until a minute passes in which it stays within its room.
        """
        ended = [
            each
            for each in self._tallies.values()
            if at is None or not timedelta() <= at - each.since < _MINUTE
        ]
        for tally in ended:
            del self._tallies[tally.address]
            if at is not None and tally.count > self._each_minute:
                self._tallies[tally.address] = Tally(
                    address=tally.address, since=at, until=at, room=0
                )
        return [each for each in ended if each.count]

    def give_back(self, tallies: list[Tally]) -> None:
        """Count again what could not be written."""
        for tally in tallies:
            present = self._tallies.setdefault(tally.address, tally)
            if present is not tally:
                present.since = min(present.since, tally.since)
                present.problems.update(tally.problems)


def _network_of(address: str) -> str:
    """Return the address, of IPv6 its network; whatever else it is stays as it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((int(found), _PREFIX), strict=False))
