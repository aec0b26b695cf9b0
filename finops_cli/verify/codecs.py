"""Convert JSON objects to domain types.

The types decide fast. JSON Schema, generated from the same types, explains an error. A codec
accepts exactly the objects that its exported schema accepts (a test ensures it). Numbers stay
exact: JSON numbers with a fraction become Decimal, and so do whole numbers in Decimal fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import msgspec

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.money import Fraction, exact
from finops_cli.domain.resolution import Resolution, ResolverInput, WeightedContributions
from finops_cli.domain.triage import ScoreComponents, Triage

T = TypeVar("T", bound=msgspec.Struct)
Numbers = Mapping[str, Any]
"""The places of Decimals in a shape.

A field name maps to None, or to the Numbers of the object or list of objects under it.
"""


Lackable = Mapping[str, Mapping[str, str]]
"""For each definition of a schema, the fields that an input may leave out, and why."""


class Codec(Generic[T]):
    """One of the four objects that finops reads from outside."""

    def __init__(
        self,
        name: str,
        kind: type[T],
        numbers: Numbers,
        null_is_default: tuple[str, ...] = (),
        may_lack: Lackable | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self._numbers = numbers
        self._null_is_default = null_is_default
        self.may_lack: Lackable = may_lack or {}
        """Fields that an input may leave out, because finops fills them in."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a codec by its constructor arguments, for worker processes."""
        return Codec, (
            self.name,
            self.kind,
            self._numbers,
            self._null_is_default,
            self.may_lack,
        )

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.kind, dec_hook=exact, float_hook=Fraction)

    def read_line(self, line: bytes) -> T | None:
        """Decode a line of JSON with the fast decoder; None if `read` must explain an error.

        Only for shapes without Decimals.
        """
        try:
            return self._decoder.decode(line)
        except (ValueError, ArithmeticError, RecursionError):
            return None

    def read(self, given: Any) -> T | None:
        """Convert an object to its type; None if it does not fit (`explain` gives the
        reasons).
        """
        try:
            return self._convert(given)
        except (msgspec.ValidationError, RecursionError):
            return self._read_tolerantly(given)

    def _read_tolerantly(self, given: Any) -> T | None:
        """Accept values that the schema allows and the type does not: 7.0 for 7, null for an absent
        list.
        """
        try:
            return self._convert(_plain(given, self._null_is_default))
        except (msgspec.ValidationError, RecursionError):
            return None

    def _convert(self, given: Any) -> T:
        _make_exact(given, self._numbers)
        return msgspec.convert(given, self.kind, builtin_types=(Decimal,), dec_hook=exact)

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema, Draft 2020-12.

        It accepts an object without the fields that `finops_cli.pipeline.inputs` fills in.
        """
        from finops_cli.verify.schemas import schema_of

        return schema_of(self.name, self.kind, self._null_is_default, self.may_lack)

    def explain(self, given: Any) -> list[Problem]:
        """Return the reasons why `read` gives None for `given`."""
        from finops_cli.verify.schemas import schema_errors

        return schema_errors(given, self._validator)

    @cached_property
    def _validator(self) -> Any:
        from finops_cli.verify.schemas import make_validator

        return make_validator(self.json_schema)


def _make_exact(given: Any, numbers: Numbers) -> None:
    """Convert the ints at `numbers` to Decimals, in place.

    Raises ValidationError for a number that is too large to compute with.
    """
    if type(given) is not dict:
        return
    for name, inner in numbers.items():
        value = given.get(name)
        if inner is None:
            if type(value) is int:
                given[name] = value = Decimal(value)
            if type(value) is Decimal and not -limits.SCORE_NUMBER <= value <= limits.SCORE_NUMBER:
                raise msgspec.ValidationError(name)
        elif type(value) is list:
            for item in value:
                _make_exact(item, inner)
        else:
            _make_exact(value, inner)


def _plain(given: Any, null_is_default: tuple[str, ...]) -> Any:
    if isinstance(given, dict):
        return {
            key: _plain(value, null_is_default)
            for key, value in given.items()
            if not (value is None and key in null_is_default)
        }
    if isinstance(given, list):
        return [_plain(value, null_is_default) for value in given]
    if (
        isinstance(given, Decimal)
        and given.adjusted() < limits.NUMBER_DIGITS
        and given == given.to_integral_value()
    ):
        return int(given)
    return given


FAIL = Codec(
    "fail",
    FailRecord,
    {},
    ("cns_eligible", "awaiting_street_receipt", "ftrs", "related_fails", "depot_qty"),
    {
        "FailRecord": {
            "side": "absent: from cns_direction FTD or FTR",
            "cns_direction": "absent: from cns_position, else N_A",
            "inventory_coverage_pct": "absent: from inventory.box_qty and qty, else assumed,"
            " input.assumed.inventory_coverage_pct",
            "age_days": "absent: from the dates in clock_facts and the moment",
            "cp_fail_rate_pct": "absent: assumed, input.assumed.cp_fail_rate_pct",
        },
        "Inventory": {
            "stock_loan_available": "absent: assumed, input.assumed.inventory",
            "recall_outstanding": "absent: assumed, input.assumed.inventory",
            "pending_receives": "absent: assumed, input.assumed.inventory",
        },
        "Ftr": {
            "partial_delivery_history": "absent: assumed, input.assumed.ftr",
            "settlement_date": "absent: assumed, input.assumed.ftr",
            "settlement_type": "absent: assumed, input.assumed.ftr",
            "cp_fail_rate_pct": "absent: assumed, input.assumed.cp_fail_rate_pct",
        },
    },
)


@cache
def triage_codec(components: type[ScoreComponents]) -> Codec[Triage]:
    """Return the codec of a triage with this type of `score_components`
    (`ScoringRules.components`).
    """
    kind: type[Triage] = Triage
    if components is not ScoreComponents:
        kind = msgspec.defstruct(  # type: ignore[assignment]
            "Triage",
            [("score_components", components)],
            bases=(Triage,),
            frozen=True,
            forbid_unknown_fields=True,
            kw_only=True,
        )
    numbers = dict.fromkeys(components.__struct_fields__)
    return Codec("triage", kind, {"priority_score": None, "score_components": numbers})


TRIAGE = triage_codec(ScoreComponents)
RESOLVER_INPUT = Codec(
    "resolver-input",
    ResolverInput,
    {
        "triage": {
            "priority_score": None,
            "score_components": dict.fromkeys(WeightedContributions.__struct_fields__),
        }
    },
    ("ftrs", "related_fails", "depot_qty"),
)
RESOLUTION = Codec(
    "resolution", Resolution, {"resolution_steps": {"coverage_after_step_pct": None}}
)
CODECS: dict[str, Codec[Any]] = {
    shape.name: shape for shape in (FAIL, TRIAGE, RESOLVER_INPUT, RESOLUTION)
}
