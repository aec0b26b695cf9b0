"""The features that are counted in a dataset, row by row (domain specification, section 8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeVar

import msgspec

from finops_cli.datasets.resolver_examples import scenarios_of
from finops_cli.datasets.rows import Row
from finops_cli.datasets.sampling import ends
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.bands import BandTable
from finops_cli.kb.chapters.scoring import quantities
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import resolver_prompt
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.rules.deadlines import regulatory_state
from finops_cli.rules.scoring import concentration_conditions
from finops_cli.verify.codecs import FAIL, RESOLUTION, RESOLVER_INPUT, Codec, triage_codec

T = TypeVar("T", bound=msgspec.Struct)

Counts = Counter[tuple[str, str]]
"""The number of occurrences of each value of each dimension."""
_OPTIONAL = ("cns_position", "reg_sho_status", "security_fail_rate_pct_adv", "notes")
_TOKEN_STEP = 256


def triage_features(row: Row, kb: KnowledgeBase) -> Iterator[tuple[str, str]]:
    """Return the (dimension, value) pairs of a verified triage row."""
    fail = _read(FAIL, row.record)
    answer = _read(triage_codec(kb.scoring.components), row.answer)
    yield from _fail_features(fail, answer, kb)


def resolver_features(row: Row, kb: KnowledgeBase) -> Iterator[tuple[str, str]]:
    """Return the (dimension, value) pairs of a verified resolver row."""
    case = _read(RESOLVER_INPUT, row.record)
    yield from _case_features(case, _read(RESOLUTION, row.answer), kb)
    prompt, completion = resolver_prompt(case).text, row.completion[0].content
    tokens = estimated_tokens(prompt) + estimated_tokens(completion)
    yield "tokens up to", str(-(-tokens // _TOKEN_STEP) * _TOKEN_STEP)


def _read(codec: Codec[T], text: str) -> T:
    value = codec.read(exact_json.decode(text))
    if value is None:
        raise ValueError(f"a row does not have the shape of a {codec.name}")
    return value


def _fail_features(
    fail: FailRecord, answer: Triage, kb: KnowledgeBase
) -> Iterator[tuple[str, str]]:
    s = kb.scoring
    age, value = s.age_factor.index(fail.age_days), s.value_factor.index(fail.market_value)
    yield "category", answer.category
    yield "age x value x state", f"{age} {value} {regulatory_state(fail, kb.triage)}"
    yield "inventory modifier", str(answer.score_components.inventory_modifier)
    yield "concentration stack", stack(fail, kb)
    if fail.cns_direction != "N_A":
        yield "direction x age x value", f"{fail.cns_direction} {age} {value}"
    elif answer.category in ("DVP_FAIL", "B2B_PENDING"):
        yield "N_A direction", answer.category
    yield "tier", answer.priority_tier
    yield "action", answer.action
    yield "counterparty", fail.counterparty
    yield from (
        ("optional", f"{name} {'absent' if getattr(fail, name) is None else 'given'}")
        for name in _OPTIONAL
    )
    yield from (("edge", edge) for edge in edges_met(fail, kb))


def stack(fail: FailRecord, kb: KnowledgeBase) -> str:
    """Name the concentration conditions that apply."""
    return "+".join(concentration_conditions(fail, kb.scoring)) or "none"


def edges_met(fail: FailRecord, kb: KnowledgeBase) -> Iterator[str]:
    """Name the sides of the band boundaries that the record lies directly at."""
    for name, table, step, number in _edge_fields(fail, kb):
        band = table.index(number)
        low, high = ends(table, band, step, int(number) + 1)
        if band and number == low * step:
            yield f"{name}: first of band {band}"
        if band < len(table.values) - 1 and number == high * step:
            yield f"{name}: last of band {band}"


def all_edges(kb: KnowledgeBase) -> set[str]:
    """Name both sides of every boundary of every band table."""
    tables = {
        factor.row.quantity.name: factor.table
        for factor in kb.scoring.factors
        if factor.row.quantity is not None
    }
    tables["coverage"] = kb.scoring.inventory_modifier
    last = {
        f"{name}: last of band {band}"
        for name, table in tables.items()
        for band in range(len(table.values) - 1)
    }
    return last | {
        f"{name}: first of band {band}"
        for name, table in tables.items()
        for band in range(1, len(table.values))
    }


def _edge_fields(
    fail: FailRecord, kb: KnowledgeBase
) -> tuple[tuple[str, BandTable[Decimal], Decimal, Decimal], ...]:
    s = kb.scoring
    return (
        *(
            (quantity.name, table, quantity.step, number)
            for quantity, table, number in quantities(fail, s)
        ),
        ("coverage", s.inventory_modifier, Decimal("0.01"), fail.inventory_coverage_pct),
    )


def _case_features(
    case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[tuple[str, str]]:
    count, brokers = len(case.ftrs), len({ftr.dtc for ftr in case.ftrs})
    tier = tier_of(count, kb)
    yield "ftr tier", tier
    yield "category", case.triage.category
    if tier == "complex":
        yield (
            "complex brokers",
            ("enough" if brokers >= kb.datasets.ftr_tiers["complex_brokers"] else "too few"),
        )
    yield from (("ftr age", str(ftr.age_days)) for ftr in case.ftrs)
    yield from (("scenario", name) for name in scenarios_of(case, plan, kb))
    yield from (("step", step.action) for step in plan.resolution_steps)
    yield "escalation", "required" if plan.escalation_required else "not required"


def tier_of(ftr_count: int, kb: KnowledgeBase) -> str:
    """Return the tier of `data.ftr_tiers` for a number of fails to receive; "none" if no tier has
    it.
    """
    rules = kb.datasets.ftr_tiers
    tiers = ("simple", "medium", "complex")
    return next(
        (
            tier
            for tier in tiers
            if rules[f"{tier}_min_ftrs"] <= ftr_count <= rules[f"{tier}_max_ftrs"]
        ),
        "none",
    )
