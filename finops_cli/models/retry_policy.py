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

    def spend(self, failure: ModelError, budget: str) -> None:
        """Use one retry of `budget` after `failure`.

        Raises `failure` if no retry is left, or the budget does not exist.
        """
        if budget not in self._used or self._used[budget] >= self._settings.retries[budget]:
            failure.overcome = tuple(self.overcome)
            raise failure
        self._used[budget] += 1
        self.overcome.append(failure.rule)

    def pause(self) -> None:
        """Wait, longer each time.

        Pauses differ between records, but are equal in every run.
        """
        backoff = self._settings.backoff
        longest = min(
            backoff["first"] * backoff["factor"] ** (len(self.overcome) - 1), backoff["longest"]
        )
        sleep(longest * (1 - backoff["jitter"] * self._draw.random()))
