"""The door of an embedded model, request by request: what its breaker is told, who is let in next,
and what the last word says.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from decimal import Decimal
from threading import Event, Thread

import pytest

from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.failures import (
    Crashed,
    ModelError,
    NoEndpointLeft,
    TimedOut,
    Truncated,
    Unreachable,
)
from finops_cli.models.llama_cpp.admission import AdmissionControl
from finops_cli.models.llama_cpp.worker_process import Died
from tests.support.cures import cured_by

FIGURES = {
    "failures": Decimal(3),
    "open": Decimal(2),
    "factor": Decimal(2),
    "longest": Decimal(5),
    "probes": Decimal(3),
}
SECONDS = 30


class Door:
    """An entrance, its breaker and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.broken = False
        self.breaker = CircuitBreaker(FIGURES)
        self.entrance = AdmissionControl(self.breaker, "free some memory", self._clock)

    def _clock(self) -> float:
        self.looks += 1
        if self.broken:
            raise OSError("no clock")
        return self.now

    def enters(self, suspect: bool = False) -> AbstractContextManager[None]:
        """A request that is inside."""
        request = self.entrance.admit(suspect)
        request.__enter__()
        return request

    def fails_at_once(self, failure: ModelError) -> None:
        ends(self.enters(), failure)

    def opens(self) -> None:
        """The breaker, by crashes in a row."""
        while self.breaker.state == "closed":
            self.fails_at_once(crash())


def crash(death: Died | None = None) -> Crashed:
    failure = Crashed("it died")
    failure.__cause__ = death or Died()
    return failure


def ends(request: AbstractContextManager[None], error: Exception | None = None) -> None:
    assert not request.__exit__(type(error) if error else None, error, None)


def waits(door: Door, suspect: bool = False) -> Event:
    """Set when a request of a thread of its own has been let in and is over."""
    over = Event()

    def goes_through() -> None:
        with door.entrance.admit(suspect):
            pass
        over.set()

    Thread(target=goes_through, daemon=True).start()
    return over


def test_late_failures_are_not_those_of_the_request_that_tries() -> None:
    """They were let in before the breaker opened: whatever becomes of them, the one that is inside
    now decides.
    """
    door = Door()
    late = [door.enters() for _ in range(9)]
    door.opens()
    door.now = 3
    trying = door.enters()
    for request in late:
        ends(request, crash())
    assert door.breaker.state == "half-open"
    ends(trying)
    assert door.breaker.state == "closed"


def test_a_death_counts_once_and_for_the_request_that_tries() -> None:
    """Five who lose their answers to one death are one failure; a late one that hears of it first
    takes nothing from the try.
    """
    door, death = Door(), Died()
    together = [door.enters() for _ in range(5)]
    for request in together:
        ends(request, crash(death))
    assert door.breaker.state == "closed"
    late = door.enters()
    door.opens()
    door.now = 3
    trying = door.enters()
    shared = Died()
    ends(late, crash(shared))
    ends(trying, crash(shared))
    assert door.breaker.state == "open"


@pytest.mark.parametrize("error", [NoEndpointLeft("closed", ""), RuntimeError("a bug")])
def test_an_error_of_ours_is_no_success(error: Exception) -> None:
    """It says nothing about the model: failures in a row go on being counted, and a try that it
    ended is left to the next.
    """
    door = Door()
    for _ in range(2):
        door.fails_at_once(crash())
    ends(door.enters(), error)
    door.fails_at_once(crash())
    assert door.breaker.state == "open"
    door.now = 3
    ends(door.enters(), error)
    assert waits(door).wait(SECONDS)
    assert door.breaker.state == "closed"


def test_a_failure_that_is_the_records_own_is_a_success() -> None:
    """A cut answer shows that the model answers."""
    door = Door()
    for _ in range(9):
        door.fails_at_once(crash())
        door.fails_at_once(Truncated("at its length"))
    assert door.breaker.state == "closed"


@pytest.mark.parametrize(
    ("failure", "message", "cure"),
    [
        (
            TimedOut("no answer within 1 s"),
            r"no answer within 1 s \(reply\.timeout\)$",
            "--timeout",
        ),
        (Unreachable("not loaded"), r"not loaded \(reply\.unreachable\)$", "free some memory"),
        (Crashed("it died"), r"it died \(reply\.crashed\)$", "free some memory"),
    ],
)
def test_the_last_word_says_what_to_do_about_the_last_failure(
    failure: ModelError, message: str, cure: str
) -> None:
    """Memory helps no timeout."""
    door = Door()
    while door.breaker.state != "given up":
        door.fails_at_once(failure)
        door.now += 10
    with pytest.raises(NoEndpointLeft, match=message, check=cured_by(cure)) as told:
        door.enters()
    assert ("memory" in told.value.cure) == (not isinstance(failure, TimedOut))


def test_a_suspect_that_cannot_enter_holds_nobody_back() -> None:
    """It leaves the line of suspects, however it goes."""
    door = Door()
    door.broken = True
    with pytest.raises(OSError, match="no clock"):
        door.enters(suspect=True)
    door.broken = False
    assert waits(door).wait(SECONDS)


def test_who_is_held_back_by_others_waits_for_them_not_for_the_clock() -> None:
    """The pause of the breaker is over; a suspect that waits for the last one to leave looks at no
    clock meanwhile.
    """
    door = Door()
    inside = door.enters()
    door.opens()
    door.now = 3
    alone, beside = waits(door, suspect=True), waits(door)
    time.sleep(0.05)
    door.looks = 0
    assert not alone.wait(0.25)
    assert door.looks == 0
    ends(inside)
    assert alone.wait(SECONDS)
    assert beside.wait(SECONDS)
