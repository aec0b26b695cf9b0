"""Convert JSON objects to domain types. The types decide fast; JSON Schema, made from the same
types, explains what is wrong.

A codec accepts exactly what its exported schema accepts (a test holds them together). Numbers stay
exact: JSON numbers with a fraction arrive as Decimal, and whole ones become Decimal where a field
is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import msgspec

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import exact
from finops_cli.domain.resolution import Resolution, ResolverInput, WeightedContributions
from finops_cli.domain.triage import ScoreComponents, Triage

T = TypeVar("T", bound=msgspec.Struct)
Numbers = Mapping[str, Any]
"""Where Decimals of a shape are: a field name to None, or to the Numbers of the object or list of
objects under it.
"""


class Codec(Generic[T]):
    """One of the four objects that finops reads from outside."""

    def __init__(
        self, name: str, kind: type[T], numbers: Numbers, null_is_default: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.kind = kind
        self._numbers = numbers
        self._null_is_default = null_is_default
        self._decoder = msgspec.json.Decoder(kind, dec_hook=exact, float_hook=Decimal)

    def __reduce__(self) -> tuple[Any, ...]:
        """Worker processes receive a codec by the parts that it was made from."""
        return Codec, (self.name, self.kind, self._numbers, self._null_is_default)

    def read_line(self, line: bytes) -> T | None:
        """The object in a line of JSON, the fast way; None when `read` must say more.

        Only for shapes without Decimals.
        """
        try:
            return self._decoder.decode(line)
        except (ValueError, ArithmeticError, RecursionError):
            return None

    def read(self, given: Any) -> T | None:
        """Convert an object to its type; None when it does not fit (`schema_errors` says why)."""
        try:
            return self._convert(given)
        except (msgspec.ValidationError, RecursionError):
            return self._read_tolerantly(given)

    def _read_tolerantly(self, given: Any) -> T | None:
        """The spellings that the schema allows and the type does not: 7.0 for 7, null for an absent
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
        """JSON Schema, Draft 2020-12."""
        from finops_cli.verify.schemas import schema_of

        return schema_of(self.name, self.kind, self._null_is_default)


def _make_exact(given: Any, numbers: Numbers) -> None:
    """Turn the ints at `numbers` into Decimals, in place.

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
)


@cache
def triage_codec(components: type[ScoreComponents]) -> Codec[Triage]:
    """The codec of a triage with this type of `score_components` (`ScoringRules.components`)."""
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
