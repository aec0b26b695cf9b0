"""Requests of an embedded model: their effect on the circuit breaker, the order of admission, and
the final message.
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

SETTINGS = {
    "failures": Decimal(3),
    "open": Decimal(2),
    "factor": Decimal(2),
    "longest": Decimal(5),
    "probes": Decimal(3),
}
SECONDS = 30


class ControlledAdmission:
    """Admission control with its breaker and a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.broken = False
        self.breaker = CircuitBreaker(SETTINGS)
        self.admission = AdmissionControl(self.breaker, "free some memory", self._clock)

    def _clock(self) -> float:
        self.looks += 1
        if self.broken:
            raise OSError("no clock")
        return self.now

    def enter(self, suspect: bool = False) -> AbstractContextManager[None]:
        """Admit a request and keep it inside."""
        request = self.admission.admit(suspect)
        request.__enter__()
        return request

    def fail_one(self, failure: ModelError) -> None:
        end_request(self.enter(), failure)

    def open_breaker(self) -> None:
        """Open the breaker by crashes in a row."""
        while self.breaker.state == "closed":
            self.fail_one(crash())


def crash(death: Died | None = None) -> Crashed:
    failure = Crashed("it died")
    failure.__cause__ = death or Died()
    return failure


def end_request(request: AbstractContextManager[None], error: Exception | None = None) -> None:
    assert not request.__exit__(type(error) if error else None, error, None)


def enter_in_thread(control: ControlledAdmission, suspect: bool = False) -> Event:
    """Return an event that is set when a request in its own thread was admitted and has ended."""
    over = Event()

    def goes_through() -> None:
        with control.admission.admit(suspect):
            pass
        over.set()

    Thread(target=goes_through, daemon=True).start()
    return over


def test_breaker_trial_ignores_late_failures() -> None:
    """Failures of requests from before the breaker opened do not count. The trial request
    decides.
    """
    control = ControlledAdmission()
    late = [control.enter() for _ in range(9)]
    control.open_breaker()
    control.now = 3
    trying = control.enter()
    for request in late:
        end_request(request, crash())
    assert control.breaker.state == "half-open"
    end_request(trying)
    assert control.breaker.state == "closed"


def test_breaker_counts_one_death_once() -> None:
    """Five requests that lose their answers to one death count as one failure. A death during a
    trial counts for the trial.
    """
    control, death = ControlledAdmission(), Died()
    together = [control.enter() for _ in range(5)]
    for request in together:
        end_request(request, crash(death))
    assert control.breaker.state == "closed"
    late = control.enter()
    control.open_breaker()
    control.now = 3
    trying = control.enter()
    shared = Died()
    end_request(late, crash(shared))
    end_request(trying, crash(shared))
    assert control.breaker.state == "open"


@pytest.mark.parametrize("error", [NoEndpointLeft("closed", ""), RuntimeError("a bug")])
def test_breaker_does_not_count_an_internal_error_as_success(error: Exception) -> None:
    """An internal error neither resets the count of failures nor decides a trial, which passes to
    the next request.
    """
    control = ControlledAdmission()
    for _ in range(2):
        control.fail_one(crash())
    end_request(control.enter(), error)
    control.fail_one(crash())
    assert control.breaker.state == "open"
    control.now = 3
    end_request(control.enter(), error)
    assert enter_in_thread(control).wait(SECONDS)
    assert control.breaker.state == "closed"


def test_breaker_counts_a_truncated_answer_as_success() -> None:
    """A truncated answer shows that the model answers, so it counts as a success."""
    control = ControlledAdmission()
    for _ in range(9):
        control.fail_one(crash())
        control.fail_one(Truncated("at its length"))
    assert control.breaker.state == "closed"


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
def test_final_message_has_the_fix_of_the_last_failure(
    failure: ModelError, message: str, cure: str
) -> None:
    """When a model is given up, the message has the last failure and its fix. More memory is not
    suggested for a timeout.
    """
    control = ControlledAdmission()
    while control.breaker.state != "given up":
        control.fail_one(failure)
        control.now += 10
    with pytest.raises(NoEndpointLeft, match=message, check=cured_by(cure)) as raised:
        control.enter()
    assert ("memory" in raised.value.cure) == (not isinstance(failure, TimedOut))


def test_suspect_that_fails_to_enter_blocks_nobody() -> None:
    """A suspect whose admission fails leaves the queue, so the next request is admitted."""
    control = ControlledAdmission()
    control.broken = True
    with pytest.raises(OSError, match="no clock"):
        control.enter(suspect=True)
    control.broken = False
    assert enter_in_thread(control).wait(SECONDS)


def test_suspect_waits_for_other_requests_without_polling() -> None:
    """A suspect waits for the requests inside to end and does not poll the clock meanwhile."""
    control = ControlledAdmission()
    inside = control.enter()
    control.open_breaker()
    control.now = 3
    alone, beside = enter_in_thread(control, suspect=True), enter_in_thread(control)
    time.sleep(0.05)
    control.looks = 0
    assert not alone.wait(0.25)
    assert control.looks == 0
    end_request(inside)
    assert alone.wait(SECONDS)
    assert beside.wait(SECONDS)
