"""Proofs that no leg can settle: leg by leg, with suppositions where that does not decide.

A leg is dead where an account needs more for it than it can hold, with everything alive coming in
and only what is supposed to settle going out. Where no leg dies of itself, suppose that one
settles: a contradiction kills it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from finops_cli.net.answers import Step
from finops_cli.net.legs import Net

_DEPTH = 60
"""The most suppositions inside each other: a reader must be able to follow them."""


class _TooLong(Exception):
    """The proof has more steps than allowed, or none was found."""


class _State:
    """The legs that may settle, those that are supposed to, and the room of each account."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.alive = set(range(len(net.legs)))
        self.supposed: set[int] = set()
        self.room = list(net.balances)
        """The most that an account can hold: its balance and everything alive that comes in, less
        what is supposed to go out."""
        for changes in net.changes:
            for account, change in changes:
                self.room[account] += max(0, change)

    def copy(self) -> _State:
        made = _State.__new__(_State)
        made.net, made.alive = self.net, set(self.alive)
        made.supposed, made.room = set(self.supposed), list(self.room)
        return made

    def suppose(self, leg: int) -> set[int]:
        """Suppose that a leg settles; returns the accounts with less room."""
        self.supposed.add(leg)
        lost = [(account, change) for account, change in self.net.changes[leg] if change < 0]
        for account, change in lost:
            self.room[account] += change
        return {account for account, _ in lost}

    def kill(self, leg: int) -> set[int]:
        """Take a leg out; returns the accounts with less room."""
        self.alive.discard(leg)
        lost = [(account, change) for account, change in self.net.changes[leg] if change > 0]
        for account, change in lost:
            self.room[account] -= change
        return {account for account, _ in lost}


def peel(net: Net) -> tuple[list[Step], set[int]]:
    """Return the steps that kill legs without a supposition, and the legs that stay alive."""
    state = _State(net)
    steps: list[Step] = []
    _peel(state, steps, range(len(net.accounts)))
    return steps, state.alive


def refute(net: Net, most_steps: int) -> list[Step] | None:
    """Return steps that kill every leg of a net of which no set settles.

    None: the proof would have more than `most_steps`.
    """
    state, counter, steps = _State(net), _Counter(most_steps), list[Step]()
    touched: Iterable[int] = range(len(net.accounts))
    try:
        while True:
            done = len(steps)
            _peel(state, steps, touched)
            counter.add(len(steps) - done)
            if not state.alive:
                return steps
            leg = min(state.alive, key=lambda each: (_slack_of(state, each), each))
            nested = _contradict(state.copy(), leg, counter, 1)
            counter.add(1)
            steps.append(Step(dead=net.legs[leg].id, suppose=nested))
            touched = state.kill(leg)
    except _TooLong:
        return None


class _Counter:
    """Counts steps up to a limit."""

    def __init__(self, most: int) -> None:
        self._left = most

    def add(self, steps: int) -> None:
        """Raise _TooLong beyond the limit."""
        self._left -= steps
        if self._left < 0:
            raise _TooLong


def _contradict(state: _State, leg: int, counter: _Counter, depth: int) -> list[Step]:
    """Suppose that a leg settles; returns the steps to a contradiction. Raises _TooLong."""
    if depth > _DEPTH:
        raise _TooLong
    net, steps = state.net, list[Step]()
    touched = state.suppose(leg)
    while True:
        done = len(steps)
        short = _peel(state, steps, touched)
        counter.add(len(steps) - done)
        if short is not None:
            counter.add(1)
            steps.append(Step(contradiction=net.accounts[short], short=-state.room[short]))
            return steps
        chosen = _choose(state)
        if chosen is None:
            raise _TooLong  # the assumption settles by itself: this is not a deadlock
        nested = _contradict(state.copy(), chosen, counter, depth + 1)
        counter.add(1)
        steps.append(Step(dead=net.legs[chosen].id, suppose=nested))
        touched = state.kill(chosen)


def _peel(state: _State, steps: list[Step], touched: Iterable[int]) -> int | None:
    """Kill what cannot settle; returns an account that is overdrawn in any case, or None."""
    net, waiting = state.net, deque(sorted(touched))
    queued = set(waiting)
    while waiting:
        account = waiting.popleft()
        queued.discard(account)
        if state.room[account] < 0:
            return account
        for leg in net.legs_of_account[account]:
            needs = -dict(net.changes[leg])[account]
            if needs <= state.room[account] or leg not in state.alive or leg in state.supposed:
                continue
            steps.append(
                Step(
                    dead=net.legs[leg].id,
                    account=net.accounts[account],
                    needs=needs,
                    at_most=state.room[account],
                )
            )
            new = sorted(state.kill(leg) - queued)
            waiting.extend(new)
            queued.update(new)
    return None


def _slack_of(state: _State, leg: int) -> int:
    """Return how far the leg is from being dead, in its tightest account."""
    return min(
        state.room[account] + change for account, change in state.net.changes[leg] if change < 0
    )


def _choose(state: _State) -> int | None:
    """Choose the leg that an account lacks most; None where the supposed legs settle alone."""
    net = state.net
    lacking = list(net.balances)
    for leg in state.supposed:
        for account, change in net.changes[leg]:
            lacking[account] += change
    best: tuple[int, int] | None = None
    for account, held in enumerate(lacking):
        if held >= 0:
            continue
        for leg in net.legs_of_account[account]:
            gain = dict(net.changes[leg])[account]
            if gain > 0 and leg in state.alive and leg not in state.supposed:
                left = state.room[account] - gain  # below 0: the account cannot do without it
                if best is None or (left, leg) < best:
                    best = left, leg
    return None if best is None else best[1]
