"""The numbers of the close-out clock, and the source of each of its rules (kb: `clock.*`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from finops_cli.domain.clock_facts import SecurityType
from finops_cli.domain.confidence import Confidence
from finops_cli.errors import KnowledgeError
from finops_cli.kb.bands import BandTable
from finops_cli.kb.compiler import Compiler, entry_fault, parse_date, parse_whole
from finops_cli.kb.entries import AnyEntry, Bands, Lookup, Rule

_TIME = re.compile("(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_DAYS = "days"
_LONGEST_CYCLE = 5
"""Settlement days. The trade date of a settlement date is looked for in the fourteen days before
it."""
_LONGEST_COUNT = 366
"""Days of a rule."""
_CUSIP_CHARACTERS = 9

RuleFamily = Literal["SHO", "15c3-1", "15c3-3", "FINRA-11810", "NSCC-buy-in", "NSCC-fails-charge"]
"""A rule, or rules that reach the same types of security (kb: `clock.security_types`)."""


class Source(NamedTuple):
    """Where a rule comes from."""

    kb: str
    citation: str
    confidence: Confidence


class CycleStart(NamedTuple):
    """From this trade date on, trades settle `days` settlement days later."""

    first_trade_date: date
    days: int


class Eras(Struct, frozen=True, eq=False, kw_only=True):
    """The first days of rules, and the last day of the grandfather clause."""

    sho203b3_from: date
    grandfather_to: date
    rule_144_from: date
    finra4320_from: date
    sho204t_from: date
    sho204_from: date


class Times(Struct, frozen=True, eq=False, kw_only=True):
    """Times of day, Eastern Time."""

    open: time
    close: time
    early_close: time
    snapshot: time
    notice_by: time
    day_only: time
    """The time of moved shares whose event has a day and no hour."""


class ClockRules(Struct, frozen=True, eq=False, kw_only=True):
    """Every number that the clock counts with. Days are of the kind that the name says."""

    short_days: int
    long_days: int
    deemed_to_own_calendar_days: int
    market_maker_days: int
    temporary_short_days: int
    temporary_long_days: int
    temporary_rule_144_days: int
    temporary_market_maker_days: int
    threshold_days: int
    threshold_rule_144_days: int
    finra_days: int
    finra_rule_144_days: int
    grandfather_days: int
    possession_business_days: int
    receive_calendar_days: int
    distribution_calendar_days: int
    capital_business_days: int
    buy_in_execution_days: int
    buy_in_notice_days: int
    cns_priority_days: int
    cns_execution_days: int
    list_days: int
    list_min_shares: int
    list_outstanding_divisor: int
    list_min_value_usd: int
    fails_charge_pct: BandTable[Decimal]
    fails_charge_from: date
    cycles: tuple[CycleStart, ...]
    treasury_issuers: frozenset[str]
    """Issuer numbers, the first characters of a CUSIP, of the US Treasury."""
    issuer_characters: int
    rules_by_type: Mapping[str, frozenset[str]]
    """For each type of security, the `RuleFamily`s that the clock computes."""
    eras: Eras
    times: Times
    sources: Mapping[str, Source]
    """The source of each rule, by the id of its entry."""


_RULES = (
    *("clock.sho204a", "clock.sho204a1", "clock.sho204a2", "clock.sho204a3", "clock.sho204t"),
    *("clock.sho204b", "clock.sho204c", "clock.sho204d", "clock.sho204e", "clock.sho204f"),
    *("clock.sho203b3", "clock.finra4320", "clock.grandfather", "clock.15c3_3m"),
    *("clock.15c3_3d2", "clock.15c3_3d3", "clock.15c3_1", "clock.finra11810"),
    *(
        "clock.nscc_buyin",
        "clock.fails_charge",
        "clock.fifo",
        "clock.weekend_35",
        "clock.out_of_scope",
    ),
)


_NUMBERS = {
    "clock.sho204a": {"settlement_days": "short_days"},
    "clock.sho204a1": {"settlement_days": "long_days"},
    "clock.sho204a2": {"calendar_days": "deemed_to_own_calendar_days"},
    "clock.sho204a3": {"settlement_days": "market_maker_days"},
    "clock.sho204t": {
        "short_settlement_days": "temporary_short_days",
        "long_settlement_days": "temporary_long_days",
        "rule_144_settlement_days": "temporary_rule_144_days",
        "market_maker_settlement_days": "temporary_market_maker_days",
    },
    "clock.sho203b3": {
        "settlement_days": "threshold_days",
        "rule_144_settlement_days": "threshold_rule_144_days",
    },
    "clock.finra4320": {
        "settlement_days": "finra_days",
        "rule_144_settlement_days": "finra_rule_144_days",
    },
    "clock.grandfather": {"settlement_days": "grandfather_days"},
    "clock.15c3_3m": {"business_days": "possession_business_days"},
    "clock.15c3_3d2": {"calendar_days": "receive_calendar_days"},
    "clock.15c3_3d3": {"calendar_days": "distribution_calendar_days"},
    "clock.15c3_1": {"business_days": "capital_business_days"},
    "clock.finra11810": {
        "execution_settlement_days": "buy_in_execution_days",
        "notice_settlement_days": "buy_in_notice_days",
    },
    "clock.nscc_buyin": {
        "priority_settlement_days": "cns_priority_days",
        "execution_settlement_days": "cns_execution_days",
    },
    "clock.threshold_test": {
        "days": "list_days",
        "min_shares": "list_min_shares",
        "outstanding_divisor": "list_outstanding_divisor",
        "min_value_usd": "list_min_value_usd",
    },
}
"""The field of `ClockRules` for each member of an entry."""


def compile_clock(c: Compiler, all_entries: Mapping[str, AnyEntry]) -> ClockRules:
    """Read the rules of the clock. Raises KnowledgeError naming the entry that does not fit."""
    numbers = {
        fields[key]: _check_days(id, key, value)
        for id, fields in _NUMBERS.items()
        for key, value in c.wholes(id, tuple(fields)).items()
    }
    eras = c.texts("clock.eras", Eras.__struct_fields__)
    issuers, characters = _treasury_issuers(c)
    return ClockRules(
        **numbers,
        fails_charge_pct=c.score_bands("clock.fails_charge"),
        fails_charge_from=_start("clock.fails_charge", all_entries),
        cycles=_cycles(c),
        treasury_issuers=issuers,
        issuer_characters=characters,
        rules_by_type=_rules_by_type(c),
        eras=Eras(**{name: parse_date("clock.eras", text, name) for name, text in eras.items()}),
        times=_times(c),
        sources={id: _source(id, all_entries) for id in _RULES},
    )


def _rules_by_type(c: Compiler) -> dict[str, frozenset[str]]:
    """The rules that the clock computes for each type of security."""
    id = "clock.security_types"
    found = {}
    for security_type, text in c.texts(id, get_args(SecurityType)).items():
        names = frozenset(name.strip() for name in text.split(",") if name.strip())
        unknown = sorted(names - set(get_args(RuleFamily)))
        if unknown:
            raise KnowledgeError(
                f"kb entry {id}: {security_type} has {unknown[0]}. Expected some of:"
                f" {', '.join(get_args(RuleFamily))}."
            )
        found[security_type] = names
    return found


def _cycles(c: Compiler) -> tuple[CycleStart, ...]:
    """The settlement cycles, the latest first."""
    id = "clock.cycles"
    found = [
        CycleStart(parse_date(id, day), parse_whole(id, day, value, 1, _LONGEST_CYCLE))
        for day, value in c.number_table(id).items()
    ]
    if not found:
        raise entry_fault(id, "members", "empty", "the first trade date of one cycle or more")
    return tuple(sorted(found, reverse=True))


def _check_days(id: str, key: str, value: int) -> int:
    """Return `value`. Raises KnowledgeError for days that no rule counts."""
    if key.endswith(_DAYS):
        return parse_whole(id, key, Decimal(value), 1, _LONGEST_COUNT)
    return value


def _treasury_issuers(c: Compiler) -> tuple[frozenset[str], int]:
    """The issuer numbers of the US Treasury, and how many characters each has."""
    id = "input.issuer_characters"
    characters = parse_whole(id, "value", c.number(id), 1, _CUSIP_CHARACTERS)
    issuers = c.words("input.treasury_issuers")
    for issuer in sorted(issuers):
        if len(issuer) != characters:
            expected = f"{characters} characters, as {id} says"
            raise entry_fault("input.treasury_issuers", "a number", issuer, expected)
    return issuers, characters


def _source(id: str, all_entries: Mapping[str, AnyEntry]) -> Source:
    entry = _dated_entry(id, all_entries)
    if entry.confidence is None:
        raise KnowledgeError(f"kb entry {id} has no confidence. Expected one.")
    return Source(id, entry.citation or "", entry.confidence)


def _dated_entry(id: str, all_entries: Mapping[str, AnyEntry]) -> Rule | Lookup | Bands:
    entry = all_entries.get(id)
    if entry is None:
        raise KnowledgeError(f"kb entry {id} is missing. Expected a rule or a table.")
    if not isinstance(entry, Rule | Lookup | Bands):
        kind = type(entry).__name__.lower()
        raise KnowledgeError(f"kb entry {id} is of kind {kind}. Expected a rule or a table.")
    return entry


def _start(id: str, all_entries: Mapping[str, AnyEntry]) -> date:
    entry = _dated_entry(id, all_entries)
    if entry.effective_from is None:
        raise KnowledgeError(f"kb entry {id}: effective_from is missing. Expected a date.")
    return parse_date(id, entry.effective_from, "effective_from")


def _times(c: Compiler) -> Times:
    id = "clock.times"
    found = {}
    for name, text in c.texts(id, Times.__struct_fields__).items():
        if not _TIME.fullmatch(text):
            raise entry_fault(id, name, text, "a time of day, HH:MM, from 00:00 to 23:59")
        found[name] = time.fromisoformat(text)
    times = Times(**found)
    if not times.open < times.early_close <= times.close:
        expected = f"a time after open, {times.open:%H:%M}, and up to close, {times.close:%H:%M}"
        raise entry_fault(id, "early_close", f"{times.early_close:%H:%M}", expected)
    return times
