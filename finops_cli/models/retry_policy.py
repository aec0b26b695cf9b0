"""The number of times that a failed request is sent again, and the pauses between them.

Source: kb `model.retries`, `model.backoff`.
"""

from __future__ import annotations

import hashlib
from random import Random
from time import sleep

from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.failures import ModelError


class RetryBudget:
    """The retries of one request.

    `overcome` lists the rules of its failures so far.
    """

    def __init__(self, settings: ModelSettings, prompt: str) -> None:
        self._settings = settings
        self._used = {"server": 0, "crashed": 0}
        self._draw = Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 - spreads requests, not a secret
        self.overcome: list[str] = []
        self._asked: float | None = None
        """Seconds that a server asked to wait (Retry-After)."""

    def spend(self, failure: ModelError, budget: str) -> None:
        """Use one retry of `budget` after `failure`.

        Raises `failure` if no retry is left, or the budget does not exist.
        """
        if budget not in self._used or self._used[budget] >= self._settings.retries[budget]:
            failure.overcome = tuple(self.overcome)
            raise failure
        self._used[budget] += 1
        self._asked = getattr(failure, "retry_after", None)
        self.overcome.append(failure.rule)

    def pause(self, *, heeds_server: bool = True) -> None:
        """Wait, longer each time, or as long as a server asked for, if `heeds_server`.

        Pauses differ between records, but are equal in every run. A server may ask for the longest
        pause of a breaker at most.
        """
        backoff = self._settings.backoff
        longest = min(
            backoff["first"] * backoff["factor"] ** (len(self.overcome) - 1), backoff["longest"]
        )
        seconds = longest * (1 - backoff["jitter"] * self._draw.random())
        asked = min(
            (self._asked if heeds_server else None) or 0.0, float(self._settings.breaker["longest"])
        )
        sleep(max(seconds, asked))
