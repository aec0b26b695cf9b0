"""The circuit breaker: three states and the end of them, told the time, never looking at a clock
(kb: model.breaker).
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from finops_cli.models.circuit_breaker import CircuitBreaker

FIGURES = {
    "failures": Decimal(3),
    "open": Decimal(2),
    "factor": Decimal(2),
    "longest": Decimal(5),
    "probes": Decimal(3),
}


def open_breaker(at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(FIGURES)
    for _ in range(3):
        breaker.failed(at, breaker.age)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker(FIGURES)
    breaker.failed(0, breaker.age)
    breaker.failed(0, breaker.age)
    breaker.succeeded()
    breaker.failed(0, breaker.age)
    breaker.failed(0, breaker.age)
    assert (breaker.state, breaker.admits(0)) == ("closed", True)
    breaker.failed(0, breaker.age)
    assert (breaker.state, breaker.admits(0), breaker.wait(0.5)) == ("open", False, 1.5)


def test_one_request_tries_an_open_endpoint_when_the_pause_is_over() -> None:
    """Half-open admits one; its success closes, and failures count from nothing again."""
    breaker = open_breaker()
    assert [breaker.admits(1.9), breaker.admits(2.0), breaker.admits(2.0)] == [False, True, False]
    assert breaker.state == "half-open"
    breaker.succeeded()
    assert (breaker.state, breaker.admits(2.0)) == ("closed", True)
    breaker.failed(2, breaker.age)
    assert breaker.state == "closed"


def test_each_try_in_vain_waits_longer_up_to_a_bound_and_the_last_gives_up() -> None:
    """2 s, then 4, then 5 at most; three tries in vain and the endpoint is out of the run."""
    breaker, now, pauses = open_breaker(), 0.0, []
    while (pause := breaker.wait(now)) is not None:
        pauses.append(pause)
        now += pause
        assert breaker.admits(now)
        breaker.failed(now, breaker.age)
    assert (pauses, breaker.state) == ([2, 4, 5], "given up")
    breaker.succeeded()
    assert (breaker.state, breaker.admits(1e9)) == ("given up", False)


def test_late_failures_change_nothing() -> None:
    """Requests from before it opened fail while it is open and while one tries the endpoint:
    neither is that try.
    """
    breaker = CircuitBreaker(FIGURES)
    before = breaker.age
    for _ in range(3):
        breaker.failed(0, before)
    breaker.failed(1, before)
    assert breaker.wait(1) == 1
    assert breaker.admits(2)
    for _ in range(9):
        breaker.failed(2, before)
    assert breaker.state == "half-open"


def test_a_failure_that_others_would_share_opens_it_at_once() -> None:
    breaker = CircuitBreaker(FIGURES)
    breaker.trip(0)
    assert (breaker.state, breaker.wait(0)) == ("open", 2)


def test_a_try_that_ended_without_news_is_left_to_the_next_request() -> None:
    """At once, and it costs no try; news that late requests do not bring changes nothing."""
    breaker = open_breaker()
    before = breaker.age
    assert breaker.admits(2)
    breaker.withdrawn(2, before)
    assert breaker.state == "half-open"
    for _ in range(9):
        breaker.withdrawn(2, breaker.age)
        assert (breaker.wait(2), breaker.admits(2), breaker.admits(2)) == (0, True, False)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens: it admits while closed, at most one request while half-open, none while
    open or given up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now, self.in_a_row = CircuitBreaker(FIGURES), 0.0, 0
        self.out: list[int] = []
        self.probes_in_vain = 0

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def asks(self) -> None:
        before, wait = self.breaker.state, self.breaker.wait(self.now)
        admitted = self.breaker.admits(self.now)
        assert admitted == (before == "closed" or wait == 0)
        self.out += [self.breaker.age] if admitted else []

    @precondition(lambda self: bool(self.out))
    @rule()
    def a_request_succeeds(self) -> None:
        gone = self.breaker.state == "given up"
        self.out.pop(0)
        self.in_a_row = 0
        if not gone:
            self.probes_in_vain = 0
        self.breaker.succeeded()
        assert self.breaker.state == ("given up" if gone else "closed")

    @precondition(lambda self: bool(self.out))
    @rule()
    def a_request_fails(self) -> None:
        age, self.in_a_row = self.out.pop(0), self.in_a_row + 1
        self.probes_in_vain += self.breaker.state == "half-open" and age == self.breaker.age
        self.breaker.failed(self.now, age)

    @invariant()
    def opens_only_after_enough_failures(self) -> None:
        assert self.breaker.state == "closed" or self.in_a_row >= 3

    @invariant()
    def is_given_up_only_after_enough_tries(self) -> None:
        assert (self.breaker.state == "given up") == (self.probes_in_vain >= 3)


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyHistory = AnyHistory.TestCase
