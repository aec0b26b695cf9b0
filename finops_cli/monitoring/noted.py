"""Requests and answered records: they are noted as they end, and counted later, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from finops_cli.monitoring.latencies import step_of


class EndedRequest(NamedTuple):
    """A request that ended."""

    at: float
    """The moment that it ended, by `SystemMonitor.now()`."""
    seconds: float
    is_error: bool = False
    """It ended with a fault of ours."""


class AnsweredRecord(NamedTuple):
    """A record that was answered."""

    at: float
    """The moment of its answer, by `SystemMonitor.now()`."""
    command: str
    status: str
    latency_ms: float | None = None
    predictions: Mapping[str, str] = MappingProxyType({})
    """The answers by their kind."""
    masked: Sequence[str] = ()
    """The kinds of its masked personal data."""


Noted = tuple[EndedRequest | AnsweredRecord, int | None]
"""A request or a record, with the step of its time; None without a time."""


def sort_by_moment(
    requests: Iterable[EndedRequest], steps: Iterable[int], records: Iterable[AnsweredRecord]
) -> list[Noted]:
    """Put requests, which have these steps, and records in the order in which they ended.

    They are counted in this order, since a second that is over takes no more.
    """
    noted: list[Noted] = [*zip(requests, steps, strict=True)]
    noted += [
        (each, None if each.latency_ms is None else step_of(each.latency_ms)) for each in records
    ]
    noted.sort(key=_moment_of)
    return noted


def _moment_of(noted: Noted) -> float:
    return noted[0].at
