"""What one thing takes, asked alone, as a desk would meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import islice
from time import perf_counter_ns
from typing import TypeVar

T = TypeVar("T")
_NS_MS = Decimal(10**6)
_SHOWN = Decimal("0.001")


def times_ms(ask: Callable[[T], object], things: Iterable[T], at_most: int) -> list[Decimal]:
    """Milliseconds of each of the first `at_most` things, shortest first."""
    took = []
    for thing in islice(things, at_most):
        started = perf_counter_ns()
        ask(thing)
        took.append(in_ms(perf_counter_ns() - started))
    return sorted(took)


def in_ms(took_ns: int) -> Decimal:
    """Nanoseconds as milliseconds, to the microsecond."""
    return (took_ns / _NS_MS).quantize(_SHOWN)
