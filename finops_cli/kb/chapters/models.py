"""How language models are asked (kb: `answer.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_LONGEST_SECONDS = 7 * 86_400

ExternalServerPolicy = Literal["refuse", "allow"]


@dataclass(frozen=True, eq=False, slots=True)
class ModelSettings:
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
    outside: ExternalServerPolicy
    memory_pct: int


def compile_models(c: Compiler) -> ModelSettings:
    settings = ModelSettings(
        judgements=c.words("answer.judgements"),
        attempts=c.wholes("answer.attempts", ("structural", "retry"), highest=10),
        models=c.texts("answer.models", ("triage", "resolver")),
        seed=c.whole("answer.seed", highest=2**31),
        tokens=c.wholes(
            "answer.tokens", ("triage_reserve", "resolver_reserve", "floor_pct", "calibration_from")
        ),
        seconds=c.floats(
            "answer.seconds", ("probe", "connect", "load", "triage", "resolver", "silence")
        ),
        retries=c.wholes("answer.retries", ("crashed", "server"), highest=100),
        backoff=c.floats("answer.backoff", ("first", "factor", "longest", "jitter")),
        breaker=c.numbers(
            "answer.breaker",
            ("failures", "open", "factor", "longest", "probes"),
            highest=_LONGEST_SECONDS,
        ),
        chunk=c.whole("answer.chunk", highest=100_000),
        keep_alive_minutes=c.whole("answer.keep_alive", highest=_LONGEST_SECONDS),
        single_slot=c.words("answer.single_slot"),
        outside=cast(ExternalServerPolicy, c.choice("answer.outside", ExternalServerPolicy)),
        memory_pct=c.whole("answer.memory_pct", highest=100),
    )
    at_least_one: dict[str, Decimal | int] = {
        "answer.attempts": min(settings.attempts.values()),
        "answer.breaker": min(
            settings.breaker["failures"], settings.breaker["probes"], settings.breaker["factor"]
        ),
        "answer.chunk": settings.chunk,
    }
    for id, value in at_least_one.items():
        if value < 1:
            raise KnowledgeError(f"kb entry {id}: {value} must be at least 1")
    for id, pause in (
        ("answer.seconds", min(settings.seconds.values())),
        ("answer.breaker", float(settings.breaker["open"])),
    ):
        if pause <= 0:
            raise KnowledgeError(f"kb entry {id}: times must be above 0")
    if (
        max(
            *settings.seconds.values(),
            settings.backoff["longest"],
            float(settings.breaker["longest"]),
        )
        > _LONGEST_SECONDS
    ):
        raise KnowledgeError("kb entry answer.seconds: no time may be above a week")
    if not 0 <= settings.backoff["jitter"] <= 1:
        raise KnowledgeError("kb entry answer.backoff: jitter must be from 0 to 1")
    return settings
