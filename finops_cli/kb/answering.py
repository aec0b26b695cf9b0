"""How language models are asked (kb: `answer.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Outside = Literal["refuse", "allow"]


@dataclass(frozen=True, eq=False, slots=True)
class AnsweringBook:
    """Attempts, pauses, times (seconds), the breaker, and room in the context (tokens)."""

    judgements: frozenset[str]
    attempts: Mapping[str, int]
    models: Mapping[str, str]
    seed: int
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    retries: Mapping[str, int]
    backoff: Mapping[str, float]
    breaker: Mapping[str, Decimal]
    chunk: int
    keep_alive_minutes: int
    single_slot: frozenset[str]
    outside: Outside
    memory_pct: int
