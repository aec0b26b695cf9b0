"""The facts of a record that finops derives, assumes or finds in contradiction (kb: `input.*`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from finops_cli.clock.facts import AsOf, count_age, read_moment
from finops_cli.clock.market_calendar import Calendar, builtin_calendar
from finops_cli.clock.moments import format_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.limits import NUMBER_DIGITS
from finops_cli.kb.chapters.input import INVENTORY
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.contradictions import find_contradictions
from finops_cli.rules.derivation import SIDES, coverage_pct, direction_of
from finops_cli.verify.schemas import show_value

DERIVABLE = ("cns_direction", "side", "inventory_coverage_pct", "age_days")
"""The fields that can follow from others, in the order in which they are derived."""
_RATE = "cp_fail_rate_pct"
_COVERAGE = "inventory_coverage_pct"
DATES = "input.dates"
"""The rule of an age that the dates do not give."""
_DAYS = ("settlement_date", "trade_date")
NO_MOMENT = "/clock_facts/as_of"
"""The path of the problem of a record whose age can be counted once the moment is known."""


class Completed(NamedTuple):
    """A record with what it left out, and why some of it could not be filled in."""

    record: dict[str, Any]
    problems: list[Problem]


class InputPolicy:
    """Completes records and finds their contradictions.

    `as_of` is the moment of `--as-of`, None where each record has its own. `calendar` None is the
    built-in one. `is_strict` rejects a record that has a warning.
    """

    def __init__(
        self,
        kb: KnowledgeBase,
        as_of: AsOf | None = None,
        calendar: Calendar | None = None,
        is_strict: bool = False,
    ) -> None:
        self.kb = kb
        self.as_of = as_of
        self.is_strict = is_strict
        self._calendar = calendar

    @property
    def calendar(self) -> Calendar:
        """The calendar of the clock."""
        return self._calendar or builtin_calendar(self.kb.calendar)

    def moment(self, facts: ClockFacts) -> AsOf | None:
        """The moment of `--as-of`, else of the record. Raises Refused for an impossible one."""
        if self.as_of is not None or facts.as_of is None:
            return self.as_of
        return AsOf(moment=read_moment("as_of", facts.as_of), source="record")

    def complete(self, given: Mapping[str, Any]) -> Completed:
        """Fill in what the decoded record `given` leaves out. A null is not left out.

        A fact whose source is invalid stays absent: the schema reports the source.
        """
        record = dict(given)
        derived: list[str] = []
        problems: list[Problem] = []
        for field in DERIVABLE:
            if field not in record:
                value = _DERIVE[field](record, self)
                if isinstance(value, Problem):
                    problems.append(value)
                elif value is not None:
                    record[field] = value
                    derived.append(field)
        assumed = self._assume(record)
        if derived or assumed:
            record["origin"] = add_names(record.get("origin"), derived, assumed)
        return Completed(record, problems)

    def _assume(self, record: dict[str, Any]) -> list[str]:
        """Fill in the unfavourable values, and return the names of their fields."""
        rules = self.kb.input
        assumed: list[str] = []
        if _RATE not in record:
            record[_RATE] = rules.assumed_rate_pct
            assumed.append(_RATE)
        inventory = record.get("inventory")
        if _COVERAGE not in record and inventory is None:
            record[_COVERAGE] = rules.assumed_coverage_pct
            assumed.append(_COVERAGE)
        if isinstance(inventory, dict) and _lacks_sources(inventory):
            record["inventory"] = {**rules.assumed_inventory, **inventory}
            names = [name for name in rules.assumed_inventory if name not in inventory]
            assumed += [f"inventory.{name}" for name in names]
        ftrs = record.get("ftrs")
        if isinstance(ftrs, list):
            values = {**rules.assumed_ftr, _RATE: rules.assumed_rate_pct}
            lacking = [
                name
                for name in values
                if any(isinstance(each, dict) and name not in each for each in ftrs)
            ]
            if lacking:
                record["ftrs"] = [
                    _fill(each, values) if isinstance(each, dict) else each for each in ftrs
                ]
                assumed += [f"ftrs.{name}" for name in lacking]
        return assumed

    def find_warnings(self, fail: FailRecord) -> list[Finding]:
        """List the contradictions in `fail` that its output line warns of."""
        found = find_contradictions(fail, self.kb)
        facts = fail.clock_facts
        if facts is not None and (facts.settlement_date or facts.trade_date):
            found += self._compare_dates(fail, facts)
        return found

    def _compare_dates(self, fail: FailRecord, facts: ClockFacts) -> list[Finding]:
        try:
            as_of = self.moment(facts)
            if as_of is None:
                return []
            days = count_age(facts, as_of, self.calendar, self.kb.clock)
        except Refused as refused:
            return [_warn_of_refusal(refused.problem)]
        if days is None or days == fail.age_days:
            return []
        name = "settlement_date" if facts.settlement_date else "trade_date"
        counted = (
            f"clock_facts.{name} {getattr(facts, name)} and the moment"
            f" {format_moment(as_of.moment)} give"
        )
        what = f"{days}" if days >= 0 else "a day that has not come"
        message = (
            f"age_days is {fail.age_days}, but {counted} {what}; agrees: the age that the dates"
            " give, or other dates"
        )
        return [
            Finding(
                rule=DATES,
                path="/age_days",
                expected=days if days >= 0 else None,
                actual=fail.age_days,
                message=message,
            )
        ]


@cache
def bundled_inputs() -> InputPolicy:
    """The policy of the bundled rules, without a moment."""
    return InputPolicy(load_kb(bundled_kb_dir()))


def lacks_fields(record: Mapping[str, Any]) -> bool:
    """True if `record` leaves out a field that can be derived or assumed."""
    if any(field not in record for field in (*DERIVABLE, _RATE)):
        return True
    inventory = record.get("inventory")
    if isinstance(inventory, dict) and _lacks_sources(inventory):
        return True
    ftrs = record.get("ftrs")
    return isinstance(ftrs, list) and any(
        isinstance(each, dict) and any(name not in each for name in FTR_ASSUMABLE) for each in ftrs
    )


def _lacks_sources(inventory: Mapping[str, Any]) -> bool:
    """True for an inventory with a box that leaves out other sources."""
    return "box_qty" in inventory and any(name not in inventory for name in INVENTORY)


FTR_ASSUMABLE = ("partial_delivery_history", "settlement_date", "settlement_type", _RATE)
"""The fields of a fail to receive that can be assumed."""


def names_in(origin: dict[str, Any] | None, kind: str) -> tuple[str, ...]:
    """The field names that the origin of a record lists as `derived` or `assumed`."""
    names = None if origin is None else origin.get(kind)
    if not isinstance(names, list | tuple):
        return ()
    return tuple(name for name in names if isinstance(name, str))


def as_problem(finding: Finding) -> Problem:
    """Turn a warning into the reason of a rejection, for `--strict-input`."""
    return Problem(
        rule=finding.rule,
        path=finding.path,
        value=show_value(finding.actual),
        accepted=finding.message.partition("; agrees: ")[2] or show_value(finding.expected),
        message=finding.message,
    )


def _warn_of_refusal(problem: Problem) -> Finding:
    return Finding(
        rule=DATES,
        path=problem.path,
        expected=problem.accepted,
        actual=problem.value,
        message=problem.message.replace("; accepted: ", "; agrees: "),
    )


def add_names(origin: Any, derived: Sequence[str], assumed: Sequence[str]) -> Any:
    """Add field names to the lists of an origin. An invalid origin stays for the schema."""
    if origin is not None and not isinstance(origin, dict):
        return origin
    changed = dict(origin or {})
    for kind, names in (("derived", derived), ("assumed", assumed)):
        if names:
            known = names_in(changed, kind)
            changed[kind] = [*known, *(name for name in names if name not in known)]
    return changed


def _fill(ftr: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    lacking = {name: value for name, value in values.items() if name not in ftr}
    return {**ftr, **lacking}


def _whole(value: Any) -> int | None:
    """The whole number that the schema would read; None for another value."""
    if type(value) is int:
        return value
    if (
        isinstance(value, Decimal)
        and value.adjusted() < NUMBER_DIGITS
        and value == value.to_integral_value()
    ):
        return int(value)
    return None


def _derive_direction(record: dict[str, Any], _: InputPolicy) -> Any:
    position = record.get("cns_position")
    whole = _whole(position)
    return None if position is not None and whole is None else direction_of(whole)


def _derive_side(record: dict[str, Any], _: InputPolicy) -> Any:
    direction = record.get("cns_direction")
    if direction in ("FTD", "FTR"):
        return SIDES[direction]
    if direction != "N_A":
        return None
    return _missing("side", "Buy or Sell, or cns_direction FTD or FTR, which gives it")


def _derive_coverage(record: dict[str, Any], _: InputPolicy) -> Any:
    inventory = record.get("inventory")
    box = _whole(inventory.get("box_qty")) if isinstance(inventory, dict) else None
    qty = _whole(record.get("qty"))
    if box is None or qty is None or box < 0 or qty <= 0:
        return None
    return coverage_pct(box, qty)


def _derive_age(record: dict[str, Any], policy: InputPolicy) -> Any:
    facts = record.get("clock_facts")
    given = facts if isinstance(facts, dict) else {}
    settlement, trade, moment = (given.get(name) for name in (*_DAYS, "as_of"))
    if settlement is None and trade is None:
        cure = "settlement days, or clock_facts.settlement_date and the moment, which give them"
        return _missing("age_days", cure)
    if not all(isinstance(text, str | None) for text in (settlement, trade, moment)):
        return None
    dates = ClockFacts(settlement_date=settlement, trade_date=trade, as_of=moment)
    try:
        as_of = policy.moment(dates)
        if as_of is None:
            return _no_moment()
        days = count_age(dates, as_of, policy.calendar, policy.kb.clock)
    except Refused as refused:
        return refused.problem
    if days is not None and days < 0:
        name, day = ("trade_date", trade) if settlement is None else (_DAYS[0], settlement)
        return Refused(name, day, f"a fail that was due by {as_of.day}, the moment", DATES).problem
    return days


def _missing(field: str, accepted: str) -> Problem:
    return Problem(
        rule="schema.required",
        path=f"/{field}",
        value="nothing",
        accepted=accepted,
        message=f"{field} is missing; accepted: {accepted}",
    )


def _no_moment() -> Problem:
    accepted = "age_days, or the moment: as_of in clock_facts, or finops run --as-of DATE"
    return Problem(
        rule=DATES,
        path=NO_MOMENT,
        value="nothing",
        accepted=accepted,
        message=(
            "age_days is missing, and without a moment the dates do not give it; accepted:"
            f" {accepted}"
        ),
    )


_DERIVE = {
    "cns_direction": _derive_direction,
    "side": _derive_side,
    "inventory_coverage_pct": _derive_coverage,
    "age_days": _derive_age,
}
