"""How requests to an endpoint ended, whatever kind of endpoint it is: what its breaker is told of
it, and what it is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from finops_cli.models.breaker import Breaker
from finops_cli.models.failures import NoReply


class Ended(NamedTuple):
    """`by_us`: an error that is none of the model's ended the request, so it says nothing about the
    endpoint.
    """

    failure: NoReply | None = None
    by_us: bool = False


@contextmanager
def ending(note: Callable[[Ended], None]) -> Iterator[None]:
    """Tell `note`, once, how what is done inside ended."""
    ended = Ended(by_us=True)
    try:
        yield
        ended = Ended()
    except NoReply as error:
        ended = Ended(error)
        raise
    finally:
        note(ended)


def settle(breaker: Breaker, ended: Ended, now: float, age: int) -> None:
    """Tell `breaker` how a request ended that it admitted at `age`."""
    failure = ended.failure
    if ended.by_us:
        breaker.withdrawn(now, age)
    elif failure is None or not failure.endpoint_failed:
        breaker.succeeded()
    elif failure.policy != "give up":
        breaker.failed(now, age)
    elif breaker.state == "half-open":
        breaker.give_up()
    else:
        breaker.trip(now)


def in_words(failure: NoReply, cure: str = "") -> str:
    """What was seen, its rule, and what to do; `cure` where that is another than the
    failure's own.
    """
    return f"{failure.detail} ({failure.rule}); {cure or failure.cure}"
