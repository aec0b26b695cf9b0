"""The factors of the base score, one row each. A new factor is a row here and its entries in the
knowledge base: its weight in `score.base`, and the table that its row names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from finops_cli.domain.enums import RegShoStatus
from finops_cli.domain.fail import FailRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """The number of a record that a factor's bands divide."""

    name: str
    step: Decimal
    """The smallest difference between two values: 1 for whole days, 0.01 for cents and percent."""
    is_usd: bool = False


@dataclass(frozen=True, slots=True)
class NumberOf:
    """Reads one number of a record."""

    field: str
    """The name of the number in a fail record."""

    def __call__(self, record: FailRecord, state: RegShoStatus) -> Decimal | int:
        number: Decimal | int = getattr(record, self.field)
        return number


def read_state(record: FailRecord, state: RegShoStatus) -> RegShoStatus:
    """Read the regulatory state."""
    return state


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One term of the base score: how a record gets its value, and where the value is shown."""

    name: str
    """The name of its weight in `score.base`."""
    kb_id: str
    """The entry with its values: bands of a quantity, or a lookup of words."""
    read: Callable[[FailRecord, RegShoStatus], Decimal | int | str]
    """Gives the number or word of a record, and of its regulatory state, that is looked up.

    Records share a triage where every factor reads by `NumberOf` or `read_state`.
    """
    word: str
    """The name of the factor in the sentence that explains a score."""
    field: str | None = None
    """The field of `score_components` that shows the value; None for a factor that is not shown."""
    handoff_field: str | None = None
    """The field of the resolver input that shows the weighted value."""
    quantity: Quantity | None = None
    """The number behind a factor whose values are bands; None for a lookup."""
    members: tuple[str, ...] = ()
    """The words of a factor whose values are a lookup."""


_CENT = Decimal("0.01")
FACTORS = (
    Factor(
        name="age",
        kb_id="score.age_factor",
        read=NumberOf("age_days"),
        word="age",
        field="age_factor",
        handoff_field="age",
        quantity=Quantity(name="age", step=Decimal(1)),
    ),
    Factor(
        name="value",
        kb_id="score.value_factor",
        read=NumberOf("market_value"),
        word="value",
        field="value_factor",
        handoff_field="value",
        quantity=Quantity(name="value", step=_CENT, is_usd=True),
    ),
    Factor(
        name="regulatory",
        kb_id="score.regulatory_factor",
        read=read_state,
        word="regulatory",
        field="regulatory_factor",
        handoff_field="regulatory",
        members=get_args(RegShoStatus),
    ),
    Factor(
        name="cp_history",
        kb_id="score.cp_history_factor",
        read=NumberOf("cp_fail_rate_pct"),
        word="counterparty",
        field="cp_history_factor",
        handoff_field="counterparty",
        quantity=Quantity(name="cp rate", step=_CENT),
    ),
)
