"""The settings of the training data: sizes, proportions and distributions (kb: `data.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import get_args

from msgspec import Struct

from finops_cli.domain import enums
from finops_cli.domain.stage_names import STAGE_NAMES
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_TIERS = ("simple", "medium", "complex")


class DatasetSettings(Struct, frozen=True, eq=False, kw_only=True):
    """Counts, and proportions in percent, of the examples that `finops generate` writes."""

    sizes: Mapping[str, int]
    eval_every: int
    categories: Mapping[str, int]
    participants: Mapping[str, int]
    ftr_counts: Mapping[str, int]
    ftr_tiers: Mapping[str, int]
    ftr_ages: Mapping[str, Decimal]
    optional_fields_pct: Mapping[str, int]
    market_values: tuple[Decimal, ...]
    market_ages: tuple[Decimal, ...]


def compile_datasets(c: Compiler) -> DatasetSettings:
    """Read the settings. Raises KnowledgeError naming the entry that does not fit."""
    for id, names in (("data.categories", get_args(enums.Category)), ("data.ftr_counts", _TIERS)):
        if sum(c.wholes(id, names).values()) != 100:
            raise KnowledgeError(f"kb entry {id}: its members must add up to 100")
    eval_every = c.whole("data.eval_every")
    if eval_every < 2:
        raise KnowledgeError(
            "kb entry data.eval_every: at least one example in two must be for training"
        )
    return DatasetSettings(
        sizes=c.wholes("data.sizes", STAGE_NAMES),
        eval_every=eval_every,
        categories=c.wholes("data.categories", get_args(enums.Category)),
        participants=c.wholes(
            "data.participants", ("high_volume", "highest_number", "uses_each", "per_examples")
        ),
        ftr_counts=c.wholes("data.ftr_counts", _TIERS),
        ftr_tiers=c.wholes(
            "data.ftr_tiers",
            (
                *(f"{tier}_{end}" for tier in _TIERS for end in ("min_ftrs", "max_ftrs")),
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
        optional_fields_pct=c.wholes(
            "data.optional_fields_pct", ("no_position", "notes", "at_edge")
        ),
        market_values=c.quantiles("data.market_values"),
        market_ages=c.quantiles("data.market_ages"),
    )
