"""JSON objects into domain types. Types decide fast; JSON Schema, made from the same types, says what is wrong.

A shape accepts exactly what its exported schema accepts (a test holds them together). Numbers stay exact: JSON numbers with a
fraction arrive as Decimal, and whole ones become Decimal where a field is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import parse_usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage

T = TypeVar("T", bound=msgspec.Struct)
Numbers = Mapping[str, Any]
"""Where the exact numbers of a shape are: a field name to its bounds, or to the Numbers of the object or list of objects under it."""

_ANY = (Decimal("-Infinity"), Decimal("Infinity"))
_SCORE = (0, 100)
_RATE: Numbers = {"cp_fail_rate_pct": (0, 100)}


class Shape(Generic[T]):
    """One of the four objects that finops reads from outside."""

    def __init__(self, name: str, kind: type[T], numbers: Numbers, null_is_default: tuple[str, ...] = ()) -> None:
        self.name = name
        self.kind = kind
        self._numbers = numbers
        self._null_is_default = null_is_default

    def read(self, given: Any) -> T | None:
        """The object as its type; None when it does not have the shape (`faults` then says why)."""
        try:
            _make_exact(given, self._numbers)
            return msgspec.convert(given, self.kind, builtin_types=_EXACT)
        except (msgspec.ValidationError, RecursionError):
            return self._read_tolerantly(given)

    def _read_tolerantly(self, given: Any) -> T | None:
        """The spellings that the schema allows and the type does not: 7.0 for 7, null for an absent list."""
        try:
            plain = _plain(given, self._null_is_default)
            _make_exact(plain, self._numbers)
            return msgspec.convert(plain, self.kind, builtin_types=_EXACT)
        except (msgspec.ValidationError, RecursionError):
            return None

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema, Draft 2020-12."""
        from finops_cli.verify.schemas import schema_of

        return schema_of(self.name, self.kind, self._null_is_default)


_EXACT = (Decimal,)


def _make_exact(given: Any, numbers: Numbers) -> None:
    """Turn the ints at `numbers` into Decimals, in place; amounts in words (market_value) too.

    Raises ValidationError for a number out of its bounds.
    """
    if type(given) is not dict:
        return
    for name, inner in numbers.items():
        value = given.get(name)
        kind = type(value)
        if type(inner) is tuple:
            if kind is int:
                given[name] = value = Decimal(value)
            elif kind is str and name == "market_value":
                given[name] = value = _amount_in_words(value)
            elif kind is not Decimal:
                continue  # absent, or of a type that the conversion refuses
            if not inner[0] <= value <= inner[1]:
                raise msgspec.ValidationError(name)
        elif kind is list:
            for item in value:
                _make_exact(item, inner)
        elif kind is dict:
            _make_exact(value, inner)


def _amount_in_words(text: str) -> Decimal:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from error


def _plain(given: Any, null_is_default: tuple[str, ...]) -> Any:
    if isinstance(given, dict):
        return {
            key: _plain(value, null_is_default)
            for key, value in given.items()
            if not (value is None and key in null_is_default)
        }
    if isinstance(given, list):
        return [_plain(value, null_is_default) for value in given]
    if isinstance(given, Decimal) and given.adjusted() < limits.NUMBER_DIGITS and given == given.to_integral_value():
        return int(given)
    return given


FAIL = Shape(
    "fail",
    FailRecord,
    {
        "market_value": (0, limits.USD),
        "inventory_coverage_pct": (0, limits.PERCENT),
        "cp_fail_rate_pct": (0, 100),
        "security_fail_rate_pct_adv": (0, limits.PERCENT),
        "ftrs": _RATE,
    },
    ("cns_eligible", "awaiting_street_receipt", "ftrs", "related_fails", "depot_qty"),
)
TRIAGE = Shape(
    "triage",
    Triage,
    {
        "priority_score": _ANY,
        "score_components": dict.fromkeys(
            (
                "age_factor",
                "value_factor",
                "regulatory_factor",
                "cp_history_factor",
                "base_score",
                "inventory_modifier",
                "concentration_modifier",
            ),
            _ANY,
        ),
    },
)
RESOLVER_INPUT = Shape(
    "resolver-input",
    ResolverInput,
    {
        "triage": {
            "priority_score": _SCORE,
            "score_components": dict.fromkeys(("age", "value", "regulatory", "counterparty"), _SCORE),
        },
        "ftrs": _RATE,
    },
    ("ftrs", "related_fails", "depot_qty"),
)
RESOLUTION = Shape("resolution", Resolution, {"resolution_steps": {"coverage_after_step_pct": _ANY}})
SHAPES: dict[str, Shape[Any]] = {shape.name: shape for shape in (FAIL, TRIAGE, RESOLVER_INPUT, RESOLUTION)}
