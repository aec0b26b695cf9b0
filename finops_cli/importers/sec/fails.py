"""SEC fails-to-deliver rows as fail records.

What the data cannot know is assumed, and each record says what was.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.importers.market_text import TextFile
from finops_cli.importers.sec.parts import SecPart, list_parts
from finops_cli.importers.sec.rows import Row, is_day
from finops_cli.importers.sec.runs import Calendar, Failing, Histories, failing
from finops_cli.importers.stream import Item, admit
from finops_cli.importers.threshold.days import ListState, ThresholdLists
from finops_cli.rules.derivation import coverage_pct

ZERO = Decimal(0)
_ALWAYS_ASSUMED = (
    "counterparty",
    "cp_fail_rate_pct",
    "inventory_coverage_pct",
    "inventory",
    "clock_facts.as_of",
    "clock_facts.settlement_date",
)
_KNOWN_FROM = "16:00"
"""The time of day, Eastern Time, from which the balance at the end of a day is known."""


class Assumptions(Struct, frozen=True):
    """Values that the desk gives for fields that the SEC file does not have.

    A row is the balance of all members, so it has no counterparty and no free box.
    """

    counterparty: str = "DTC-0000"
    cp_fail_rate_pct: Decimal = ZERO
    security_fail_rate_pct_adv: Decimal | None = None
    inventory_coverage_pct: Decimal = ZERO
    recall_pct: Decimal = ZERO
    borrow_pct: Decimal = ZERO
    price_if_missing: Decimal = ZERO


class Choice(Struct, frozen=True):
    """Rows that become records: those of one day (`as_of`; None is the latest day of the files),
    or those of every day.
    """

    as_of: str | None = None
    every_day: bool = False
    with_history: bool = False
    """Give each record the quantities of its run. They are the street's, not those of a firm."""


LATEST_DAY = Choice()


def import_sec_fails(
    files: Sequence[Path],
    assumptions: Assumptions,
    choice: Choice = LATEST_DAY,
    threshold_files: Sequence[Path] = (),
    list_date: str | None = None,
) -> Iterator[Item]:
    """Yield the records and the damaged lines of `files`, by date.

    Memory holds one entry per CUSIP and the rows of one day; with `choice.with_history` also the
    quantities of the runs that are not over. `list_date` is the day of threshold lists without a
    date. Raises UsageError.
    """
    _refuse_impossible(files, assumptions, choice)
    parts = list_parts(files)
    thresholds = ThresholdLists(list_date)
    yield from thresholds.read(threshold_files)
    calendar = Calendar(Histories() if choice.with_history else None)
    for item in _select_rows(failing(parts, calendar), choice):
        if isinstance(item, Failing):
            record = _record(item, assumptions, thresholds)
            if item.history is not None:
                record["clock_facts"]["fail_history"] = [
                    {"date": _iso(day), "qty": qty} for day, qty in item.history.rows(calendar.days)
                ]
            yield admit(record, item.part.shown, item.row.line)
        else:
            yield item
    if choice.as_of is not None and choice.as_of not in calendar.days:
        offer = _offer(calendar.days, choice.as_of)
        raise UsageError(
            f"--as-of {choice.as_of} is not a settlement day of the files; accepted: {offer}",
            "give one of these days",
        )
    summary = thresholds.describe()
    if summary is not None:
        yield summary


def _refuse_impossible(files: Sequence[Path], assumptions: Assumptions, choice: Choice) -> None:
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError("a file is given twice", "give each file once")
    if choice.as_of is not None and choice.every_day:
        raise UsageError("--as-of and --every-day exclude each other", "give one of the two")
    if choice.as_of is not None and not is_day(choice.as_of):
        raise UsageError(f"--as-of {choice.as_of} is not a date; accepted: YYYYMMDD")
    sample = Row(1, (), "20000103", "594918104", qty=1)
    judged = admit(
        _record(
            Failing(SecPart(TextFile(Path("options"))), sample, 0, False, "20000103"),
            assumptions,
            ThresholdLists(),
        ),
        "options",
        1,
    )
    if isinstance(judged, Damage):
        wrong = (
            f"--{p.path[1:].replace('_', '-')} is {p.value}; accepted: {p.accepted}"
            for p in judged.problems
        )
        raise UsageError("; ".join(wrong))


def _select_rows(items: Iterator[Any], choice: Choice) -> Iterator[Any]:
    """All that is not a row, and the rows of the chosen day; the latest day is known only at the
    end.
    """
    latest: list[Failing] = []
    for item in items:
        if not isinstance(item, Failing) or choice.every_day or item.row.date == choice.as_of:
            yield item
        elif choice.as_of is None:
            if latest and latest[0].row.date != item.row.date:
                latest.clear()
            latest.append(item)
    yield from latest


def _record(failing: Failing, given: Assumptions, thresholds: ThresholdLists) -> dict[str, Any]:
    """The fail record of a row.

    Only a symbol that a list of its day has is known to be, or not to be, a threshold security.
    """
    row = failing.row
    qty = row.qty or 0
    state = thresholds.state_of(row.symbol, _iso(row.date))
    price = given.price_if_missing if row.price is None else row.price
    box_qty = _portion(qty, given.inventory_coverage_pct)
    is_exact = box_qty * 100 == given.inventory_coverage_pct * qty
    coverage = given.inventory_coverage_pct if is_exact else coverage_pct(box_qty, max(qty, 1))
    record: dict[str, Any] = {
        "fail_id": f"SEC-{row.date}-{row.cusip}",
        "cusip": row.cusip,
        "side": "Sell",
        "qty": qty,
        "counterparty": given.counterparty,
        "age_days": failing.age_days,
        "market_value": price * qty,
        "cns_position": -qty,
        "cns_direction": "FTD",
        "reg_sho_threshold": state.listed or False,
        "inventory_coverage_pct": coverage,
        "cp_fail_rate_pct": given.cp_fail_rate_pct,
    }
    if given.security_fail_rate_pct_adv is not None:
        record["security_fail_rate_pct_adv"] = given.security_fail_rate_pct_adv
    if 0 < len(row.symbol) <= limits.SYMBOL_CHARS:
        record["symbol"] = row.symbol
    record["inventory"] = {
        "box_qty": box_qty,
        "stock_loan_available": _portion(qty, given.borrow_pct),
        "recall_outstanding": _portion(qty, given.recall_pct),
        "pending_receives": 0,
    }
    record["clock_facts"] = _clock_facts(failing, thresholds)
    record["origin"] = _origin(failing, given, state)
    if thresholds.has_assumed_days(row.symbol, _iso(row.date)):
        record["origin"]["assumed"].append("clock_facts.threshold_days")
    return record


def _clock_facts(failing: Failing, thresholds: ThresholdLists) -> dict[str, Any]:
    """The facts that the close-out clock takes from a row.

    The fail is taken to have begun with its run, and to be known at the end of its day.
    """
    day = _iso(failing.row.date)
    facts: dict[str, Any] = {
        "as_of": f"{day}T{_KNOWN_FROM}",
        "settlement_date": _iso(failing.first_day),
    }
    threshold_days = thresholds.days_of(failing.row.symbol, day)
    if threshold_days:
        facts["threshold_days"] = threshold_days
    return facts


def _iso(day: str | None) -> str:
    """2023-03-14 for 20230314."""
    text = day or ""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _origin(failing: Failing, given: Assumptions, state: ListState) -> dict[str, Any]:
    row = failing.row
    assumed = [*_ALWAYS_ASSUMED]
    if given.security_fail_rate_pct_adv is not None:
        assumed.append("security_fail_rate_pct_adv")
    if state.listed is None or state.is_assumed:
        assumed.append("reg_sho_threshold")
    if row.price is None:
        assumed.append("market_value")
    if failing.history is not None:
        assumed.append("clock_facts.fail_history")
    origin: dict[str, Any] = {
        "source": "sec-fails",
        "file": failing.part.name,
        "line": row.line,
        "symbol": row.symbol,
        "description": row.description,
        "price": row.price,
        "settlement_date": row.date,
        "run_may_be_older": failing.run_may_be_older,
        "assumed": assumed,
    }
    if state.date is not None:
        origin["threshold_list"] = state.date
        if state.symbol != row.symbol:
            origin["threshold_symbol"] = state.symbol
    return origin


def _portion(qty: int, pct: Decimal) -> int:
    """Whole shares in `pct` percent of `qty`, rounded down: half a share cannot be delivered."""
    numerator, denominator = pct.as_integer_ratio()
    return qty * numerator // (denominator * 100)


def _offer(days: Sequence[str], asked: str) -> str:
    if not days:
        return "none, the files have no readable row"
    behind = bisect(days, asked)
    nearest = days[max(behind - 2, 0) : behind + 2]
    return f"{len(days)} days from {days[0]} to {days[-1]}, the nearest being {', '.join(nearest)}"
