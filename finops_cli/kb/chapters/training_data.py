"""The knowledge base as typed books, one a chapter, that the rules take as argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from finops_cli.domain import enums as words
from finops_cli.domain.stage_names import STAGE_NAMES
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler


@dataclass(frozen=True, eq=False, slots=True)
class DatasetSettings:
    """What training sets are made of (kb: `data.*`); shares in percent."""

    sizes: Mapping[str, int]
    eval_every: int
    categories: Mapping[str, int]
    participants: Mapping[str, int]
    ftr_counts: Mapping[str, int]
    ftr_tiers: Mapping[str, int]
    ftr_ages: Mapping[str, Decimal]
    missing: Mapping[str, int]
    market_values: tuple[Decimal, ...]
    market_ages: tuple[Decimal, ...]


def compile_numbers_of_data(c: Compiler) -> DatasetSettings:
    settings = compile_datasets(c)
    for id, shares in (
        ("data.categories", settings.categories),
        ("data.ftr_counts", settings.ftr_counts),
    ):
        if sum(shares.values()) != 100:
            raise KnowledgeError(f"kb entry {id}: its members must add up to 100")
    if settings.eval_every < 2:
        raise KnowledgeError(
            "kb entry data.eval_every: at least one example in two must be for training"
        )
    return settings


def compile_datasets(c: Compiler) -> DatasetSettings:
    return DatasetSettings(
        sizes=c.wholes("data.sizes", STAGE_NAMES),
        eval_every=c.whole("data.eval_every"),
        categories=c.wholes("data.categories", get_args(words.Category)),
        participants=c.wholes(
            "data.participants", ("high_volume", "highest_number", "uses_each", "per_examples")
        ),
        ftr_counts=c.wholes("data.ftr_counts", ("simple", "medium", "complex")),
        ftr_tiers=c.wholes(
            "data.ftr_tiers",
            (
                *(
                    f"{tier}_{end}"
                    for tier in ("simple", "medium", "complex")
                    for end in ("from", "to")
                ),
                "complex_brokers",
                "tokens",
            ),
        ),
        ftr_ages=c.numbers(
            "data.ftr_ages",
            (
                "tail",
                "tail_min_days",
                "tail_max_days",
                "normal_min_days",
                "normal_max_days",
                "centre",
                "deviation",
            ),
        ),
        missing=c.wholes("data.optional_fields_pct", ("no_position", "notes", "at_edge")),
        market_values=c.quantiles("data.market_values"),
        market_ages=c.quantiles("data.market_ages"),
    )
