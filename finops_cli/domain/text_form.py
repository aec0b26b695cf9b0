"""The text form of a fail record, on which the triage model was trained [card-1]. Rendering and
parsing are inverse.

The text is `Triage this fail record:`, then `Field: value` pairs joined by ` | `. Free text and
objects are JSON with the bar escaped, so that no value is taken for a separator. `fail_id`,
`origin` and the stage-2 fields are not part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from finops_cli.domain import exact_json, limits, money
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem

HEADING = "Triage this fail record:"
CASE_HEADING = "Resolve this fail:"
"""The heading of a case, which is JSON [card-2]."""


class _Field(NamedTuple):
    label: str
    name: str
    render: Callable[[Any], str]
    parse: Callable[[str], Any]
    accepted: str


def _whole(text: str) -> int:
    if len(text) > limits.SHOWN_CHARS or _WHOLE.fullmatch(text) is None:
        raise ValueError(text)
    return int(text.replace(",", ""))


_WHOLE = re.compile(r"-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)")


def _days(text: str) -> int:
    return _whole(text.removesuffix("s").removesuffix("day").strip())


def _percent(number: Decimal) -> str:
    return f"{money.plain(number)}%"


def _rate_of_volume(text: str) -> Decimal:
    return money.parse_percent(text.removesuffix("ADV"))


def _usd(text: str) -> Decimal:
    return money.parse_usd(text.removeprefix("\\"))  # a shell's line escapes the dollar [card-1]


def _yes_no(text: str) -> bool:
    return {"yes": True, "no": False}[text.lower()]


def _quote(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).replace("|", "\\u007c")


def _json(text: str) -> Any:
    return exact_json.decode(text)


def _unquoted(text: str) -> Any:
    return _json(text) if text.startswith('"') else text


_YES_NO = (lambda flag: "Yes" if flag else "No", _yes_no, "Yes or No")
_TEXT = (str, str, "text")
_SHARES = (str, _whole, "a whole number of shares")
_FIELDS = (
    _Field("CUSIP", "cusip", *_TEXT),
    _Field("Side", "side", *_TEXT),
    _Field("Qty", "qty", *_SHARES),
    _Field("Counterparty", "counterparty", *_TEXT),
    _Field(
        "Age",
        "age_days",
        lambda days: f"{days} day{'' if days == 1 else 's'}",
        _days,
        "a number of days, such as 7 days",
    ),
    _Field("Market Value", "market_value", money.render_usd, _usd, money.AMOUNT_ACCEPTED),
    _Field("CNS Position", "cns_position", *_SHARES),
    _Field("CNS Direction", "cns_direction", *_TEXT),
    _Field("Reg SHO Threshold", "reg_sho_threshold", *_YES_NO),
    _Field("Reg SHO Status", "reg_sho_status", *_TEXT),
    _Field(
        "Inventory Coverage",
        "inventory_coverage_pct",
        _percent,
        money.parse_percent,
        money.PERCENT_ACCEPTED,
    ),
    _Field(
        "CP 15-day Fail Rate",
        "cp_fail_rate_pct",
        _percent,
        money.parse_percent,
        money.PERCENT_ACCEPTED,
    ),
    _Field(
        "Security Fail Rate",
        "security_fail_rate_pct_adv",
        lambda rate: f"{_percent(rate)} ADV",
        _rate_of_volume,
        "a percentage of average daily volume, such as 3% ADV, or a bound such as >2% ADV",
    ),
    _Field("CNS Eligible", "cns_eligible", *_YES_NO),
    _Field("DK Reason", "dk_reason", _quote, _unquoted, "text"),
    _Field("Corporate Action", "corporate_action", _quote, _json, "a JSON object"),
    _Field("Awaiting Street Receipt", "awaiting_street_receipt", *_YES_NO),
    _Field("Notes", "notes", _quote, _unquoted, "text"),
)
_SHELL_TOOK = "; between double quotes a shell reads $2 of $2.1M as empty: use single quotes"
_BY_LABEL = {field.label: field for field in _FIELDS}
_BOUNDED = "security_fail_rate_pct_adv"
"""The field whose value may be a bound, as card 1 gives it: `>2% ADV`."""
_BOUND = re.compile(r"(>=|<=|[<>\u2264\u2265])\s*")
_STEPS = {">": 1, "<": -1}
"""The steps that a bound lies beside its number; the other signs include the number itself."""
_DEFAULTS = {"cns_eligible": True, "awaiting_street_receipt": False}


def render(record: FailRecord) -> str:
    """Render `record` in the text form, with its heading. Fields at their default are left out."""
    values = ((field, getattr(record, field.name)) for field in _FIELDS)
    pairs = [
        f"{field.label}: {field.render(value)}"
        for field, value in values
        if value != _DEFAULTS.get(field.name)
    ]
    return f"{HEADING} {' | '.join(pairs)}"


def parse(text: str, bound_step: Decimal | None = None) -> dict[str, Any] | list[Problem]:
    """Parse the fields of `text`; return the problems if it cannot be read.

    `bound_step`: the distance of a rate from an open bound, in percent (kb: `input.bound_step`):
    with 0.1, `>2%` is 2.1. The words of such a rate are kept in `origin.stated`. None: a bound
    cannot be read. The types of the values are not checked here.
    """
    fields: dict[str, Any] = {}
    stated: dict[str, str] = {}
    problems: list[Problem] = []
    for pair in text.strip().removeprefix(HEADING).split("|"):
        if len(problems) == limits.PROBLEMS:
            break
        label, colon, value = (part.strip() for part in pair.partition(":"))
        field = _BY_LABEL.get(label)
        if field is None or not colon:
            problems.append(
                _problem(
                    "schema.unknown", pair, f"Field: value, with a field of {', '.join(_BY_LABEL)}"
                )
            )
        elif field.name in fields:
            problems.append(_problem("schema.unknown", pair, f"{label} once"))
        else:
            try:
                fields[field.name] = _read(field, value, bound_step, stated)
            except (ValueError, KeyError, ArithmeticError, RecursionError):
                accepted = field.accepted + (_SHELL_TOOK if value.startswith(".") else "")
                problems.append(_problem("schema.format", pair, accepted))
    if stated:
        fields["origin"] = {"stated": stated}
    return problems or fields


def _read(field: _Field, value: str, bound_step: Decimal | None, stated: dict[str, str]) -> Any:
    """Read a value. A bound is read as the number beside it, and its words go to `stated`."""
    bound = None if bound_step is None or field.name != _BOUNDED else _BOUND.match(value)
    if bound is None or bound_step is None:
        return field.parse(value)
    number = field.parse(value[bound.end() :])
    stated[field.name] = value
    return max(Decimal(0), number + _STEPS.get(bound[1], 0) * bound_step)


def _problem(rule: str, pair: str, accepted: str) -> Problem:
    value = pair.strip()[: limits.SHOWN_CHARS]
    return Problem(
        rule=rule,
        path="/text",
        value=value,
        accepted=accepted,
        message=f"text: cannot read {value!r}; accepted: {accepted}",
    )
