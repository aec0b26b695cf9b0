"""The circuit breaker: its states, with the time passed in by the caller (kb: model.breaker)."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from finops_cli.models.circuit_breaker import CircuitBreaker

SETTINGS = {
    "failures": Decimal(3),
    "open": Decimal(2),
    "factor": Decimal(2),
    "longest": Decimal(5),
    "probes": Decimal(3),
}


def open_breaker(at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(SETTINGS)
    for _ in range(3):
        breaker.failed(at, breaker.age)
    return breaker


def test_breaker_after_three_failures_in_a_row_opens() -> None:
    """The breaker opens after three failures in a row. A success between them starts the count
    again.
    """
    breaker = CircuitBreaker(SETTINGS)
    breaker.failed(0, breaker.age)
    breaker.failed(0, breaker.age)
    breaker.succeeded()
    breaker.failed(0, breaker.age)
    breaker.failed(0, breaker.age)
    assert (breaker.state, breaker.admits(0)) == ("closed", True)
    breaker.failed(0, breaker.age)
    assert (breaker.state, breaker.admits(0), breaker.wait(0.5)) == ("open", False, 1.5)


def test_breaker_after_the_pause_admits_one_request() -> None:
    """After the pause an open breaker admits one request. Its success closes the breaker and resets
    the count of failures.
    """
    breaker = open_breaker()
    assert [breaker.admits(1.9), breaker.admits(2.0), breaker.admits(2.0)] == [False, True, False]
    assert breaker.state == "half-open"
    breaker.succeeded()
    assert (breaker.state, breaker.admits(2.0)) == ("closed", True)
    breaker.failed(2, breaker.age)
    assert breaker.state == "closed"


def test_breaker_pause_grows_until_the_endpoint_is_given_up() -> None:
    """Each failed trial doubles the pause up to a limit, and after the third the endpoint is given
    up for good.
    """
    breaker, now, pauses = open_breaker(), 0.0, []
    while (pause := breaker.wait(now)) is not None:
        pauses.append(pause)
        now += pause
        assert breaker.admits(now)
        breaker.failed(now, breaker.age)
    assert (pauses, breaker.state) == ([2, 4, 5], "given up")
    breaker.succeeded()
    assert (breaker.state, breaker.admits(1e9)) == ("given up", False)


def test_breaker_ignores_failures_of_earlier_requests() -> None:
    """Failures of requests that were sent before the breaker opened neither extend the pause nor
    end the trial.
    """
    breaker = CircuitBreaker(SETTINGS)
    before = breaker.age
    for _ in range(3):
        breaker.failed(0, before)
    breaker.failed(1, before)
    assert breaker.wait(1) == 1
    assert breaker.admits(2)
    for _ in range(9):
        breaker.failed(2, before)
    assert breaker.state == "half-open"


def test_breaker_trip_opens_at_once() -> None:
    """`trip` opens the breaker at once, for a failure that would affect every request."""
    breaker = CircuitBreaker(SETTINGS)
    breaker.trip(0)
    assert (breaker.state, breaker.wait(0)) == ("open", 2)


def test_breaker_withdrawn_trial_passes_to_the_next_request() -> None:
    """A trial that is withdrawn without a result does not count, and the next request becomes the
    trial.
    """
    breaker = open_breaker()
    before = breaker.age
    assert breaker.admits(2)
    breaker.withdrawn(2, before)
    assert breaker.state == "half-open"
    for _ in range(9):
        breaker.withdrawn(2, breaker.age)
        assert (breaker.wait(2), breaker.admits(2), breaker.admits(2)) == (0, True, False)


class RandomHistory(RuleBasedStateMachine):
    """A random history of requests: a closed breaker admits all, a half-open one at most one, an
    open one none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now, self.in_a_row = CircuitBreaker(SETTINGS), 0.0, 0
        self.out: list[int] = []
        self.probes_in_vain = 0

    @rule(seconds=st.floats(0, 10))
    def advance_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def request_admission(self) -> None:
        before, wait = self.breaker.state, self.breaker.wait(self.now)
        admitted = self.breaker.admits(self.now)
        assert admitted == (before == "closed" or wait == 0)
        self.out += [self.breaker.age] if admitted else []

    @precondition(lambda self: bool(self.out))
    @rule()
    def complete_a_request(self) -> None:
        gone = self.breaker.state == "given up"
        self.out.pop(0)
        self.in_a_row = 0
        if not gone:
            self.probes_in_vain = 0
        self.breaker.succeeded()
        assert self.breaker.state == ("given up" if gone else "closed")

    @precondition(lambda self: bool(self.out))
    @rule()
    def fail_a_request(self) -> None:
        age, self.in_a_row = self.out.pop(0), self.in_a_row + 1
        self.probes_in_vain += self.breaker.state == "half-open" and age == self.breaker.age
        self.breaker.failed(self.now, age)

    @invariant()
    def opens_only_after_enough_failures(self) -> None:
        assert self.breaker.state == "closed" or self.in_a_row >= 3

    @invariant()
    def is_given_up_only_after_enough_tries(self) -> None:
        assert (self.breaker.state == "given up") == (self.probes_in_vain >= 3)


RandomHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRandomHistory = RandomHistory.TestCase
