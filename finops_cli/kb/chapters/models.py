"""Compile the settings of language models (kb: `model.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, cast

from msgspec import Struct

from finops_cli.domain.stage_names import ANSWER_FIELDS, StageName
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_LONGEST_SECONDS = 7 * 86_400

ExternalServerPolicy = Literal["refuse", "allow"]


class ModelSettings(Struct, frozen=True, eq=False, kw_only=True):
    """Settings of model calls: attempts, pauses, timeouts (seconds), circuit breaker, tokens."""

    unrepairable_fields: frozenset[str]
    attempts: Mapping[str, int]
    models: Mapping[str, str]
    seed: int
    tokens: Mapping[str, int]
    timeouts: Mapping[str, float]
    retries: Mapping[str, int]
    backoff: Mapping[str, float]
    breaker: Mapping[str, Decimal]
    alternation_batch: int
    keep_alive_minutes: int
    serial_architectures: frozenset[str]
    server_requests: Mapping[str, int]
    """Requests at once to a server of OpenAI's API, by what it calls itself (`owned_by`)."""
    external_servers: ExternalServerPolicy
    memory_pct: int
    turn_ends: frozenset[str]
    turn_openings: frozenset[str]
    memory: Mapping[str, int]
    """Recovery from lack of memory: minutes and seconds."""
    memory_words: frozenset[str]
    """Words of a failure for lack of memory, in small letters."""

    def timeout_of(self, stage: StageName) -> float:
        """The time limit of an answer; the longest one for a stage that no run asks."""
        return self.timeouts.get(stage) or max(self.timeouts[name] for name in ANSWER_FIELDS)


def compile_models(c: Compiler) -> ModelSettings:
    settings = ModelSettings(
        unrepairable_fields=c.words("model.unrepairable_fields"),
        attempts=c.wholes("model.attempts", ("structural", "retry"), highest=10),
        models=c.texts("model.models", ("triage", "resolver", "sentiment")),
        seed=c.whole("model.seed", highest=2**31),
        tokens=c.wholes(
            "model.tokens",
            (
                "triage_reserve",
                "resolver_reserve",
                "sentiment_reserve",
                "floor_pct",
                "calibration_from",
            ),
        ),
        timeouts=c.floats(
            "model.timeouts",
            ("probe", "connect", "load", "triage", "resolver", "sentiment", "silence"),
        ),
        retries=c.wholes("model.retries", ("crashed", "server"), highest=100),
        backoff=c.floats("model.backoff", ("first", "factor", "longest", "jitter")),
        breaker=c.numbers(
            "model.breaker",
            ("failures", "open", "factor", "longest", "probes"),
            highest=_LONGEST_SECONDS,
        ),
        alternation_batch=c.whole("model.alternation_batch", highest=100_000),
        keep_alive_minutes=c.whole("model.keep_alive", highest=_LONGEST_SECONDS),
        serial_architectures=c.words("model.serial_architectures"),
        server_requests=c.wholes(
            "model.server_requests", ("vllm", "sglang", "llamacpp", "other"), highest=256
        ),
        external_servers=cast(
            ExternalServerPolicy, c.choice("model.external_servers", ExternalServerPolicy)
        ),
        memory_pct=c.whole("model.memory_pct", highest=100),
        turn_ends=c.words("model.turn_ends"),
        turn_openings=c.words("model.turn_openings"),
        memory=c.wholes("recovery.out_of_memory", ("again_minutes", "unload_seconds")),
        memory_words=frozenset(word.lower() for word in c.words("recovery.memory_words")),
    )
    _refuse_unusable(settings)
    return settings


def _refuse_unusable(settings: ModelSettings) -> None:
    """Raise KnowledgeError for values that no run could use."""
    backoff, breaker = settings.backoff, settings.breaker
    at_least_one: dict[str, Decimal | int] = {
        "model.attempts": min(settings.attempts.values()),
        "model.breaker": min(breaker["failures"], breaker["probes"], breaker["factor"]),
        "model.alternation_batch": settings.alternation_batch,
        "model.server_requests": min(settings.server_requests.values()),
    }
    for id, value in at_least_one.items():
        if value < 1:
            raise KnowledgeError(f"kb entry {id}: {value} must be at least 1")
    for id, pause in (
        ("model.timeouts", min(settings.timeouts.values())),
        ("model.breaker", float(breaker["open"])),
    ):
        if pause <= 0:
            raise KnowledgeError(f"kb entry {id}: times must be above 0")
    longest = max(*settings.timeouts.values(), backoff["longest"], float(breaker["longest"]))
    if longest > _LONGEST_SECONDS:
        raise KnowledgeError("kb entry model.timeouts: no time may be above a week")
    if "" in settings.memory_words:
        raise KnowledgeError(
            "kb entry recovery.memory_words: an empty text would fit every failure"
        )
    if "" in settings.turn_ends | settings.turn_openings:
        raise KnowledgeError("kb entry model.turn_ends: an empty token would end every answer")
    if not 0 <= backoff["jitter"] <= 1:
        raise KnowledgeError("kb entry model.backoff: jitter must be from 0 to 1")
