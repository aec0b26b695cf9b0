"""The rules about the facts of a record: contradictions and assumptions (kb: `input.*`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import get_args

from msgspec import Struct

from finops_cli.domain.clock_facts import SecurityType
from finops_cli.domain.enums import SettlementType
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_HIGHEST_PCT = 100
_FTR = ("partial_delivery_history", "settlement_date", "settlement_type")
INVENTORY = ("stock_loan_available", "recall_outstanding", "pending_receives")
"""The fields of an inventory that can be assumed where it has a box."""
_T_PLUS = re.compile(r"T\+[0-9]{1,3}")


class InputRules(Struct, frozen=True, eq=False, kw_only=True):
    """The facts that finops derives and assumes where a record leaves them out."""

    treasury_issuers: frozenset[str]
    """Issuer numbers, the first characters of a CUSIP, of the US Treasury."""
    issuer_characters: int
    exempt_types: frozenset[str]
    """Values of `security_type` that have neither CNS equity settlement nor Reg SHO."""
    assumed_rate_pct: Decimal
    """The fail rate of a counterparty that the record gives none for, in percent."""
    assumed_coverage_pct: Decimal
    """The coverage of a record without coverage and box, in percent."""
    assumed_inventory: Mapping[str, int]
    """Field of an inventory to the shares that are assumed."""
    assumed_ftr: Mapping[str, str | bool]
    """Field of a fail to receive to the value that is assumed."""
    bound_step: Decimal
    """The distance of a rate from an open bound such as `>2%`, in percent."""


def compile_input(c: Compiler) -> InputRules:
    """Read the rules of the input. Raises KnowledgeError naming the entry that does not fit."""
    exempt = c.words("input.exempt_types")
    unknown = sorted(exempt - set(get_args(SecurityType)))
    if unknown:
        accepted = ", ".join(get_args(SecurityType))
        raise KnowledgeError(
            f"kb entry input.exempt_types: {unknown[0]} is given. Expected one of: {accepted}."
        )
    return InputRules(
        treasury_issuers=c.words("input.treasury_issuers"),
        issuer_characters=c.whole("input.issuer_characters"),
        exempt_types=exempt,
        assumed_rate_pct=c.number("input.assumed.cp_fail_rate_pct", _HIGHEST_PCT),
        assumed_coverage_pct=c.number("input.assumed.inventory_coverage_pct"),
        assumed_inventory=c.wholes("input.assumed.inventory", INVENTORY),
        assumed_ftr=_assumed_ftr(c),
        bound_step=c.number("input.bound_step", _HIGHEST_PCT),
    )


def _assumed_ftr(c: Compiler) -> dict[str, str | bool]:
    id = "input.assumed.ftr"
    texts = c.texts(id, _FTR)
    partial, date, kind = (texts[name] for name in _FTR)
    for value, is_known, accepted in (
        (partial, partial in ("true", "false"), "true or false"),
        (date, _T_PLUS.fullmatch(date) is not None, "T+N"),
        (kind, kind in get_args(SettlementType), ", ".join(get_args(SettlementType))),
    ):
        if not is_known:
            raise KnowledgeError(f"kb entry {id}: {value} is given. Expected {accepted}.")
    return {**texts, "partial_delivery_history": partial == "true"}
