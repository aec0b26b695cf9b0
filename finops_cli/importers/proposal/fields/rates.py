"""Decide which columns give percentages, and whether 0.04 means 4 percent; and the age."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from finops_cli.domain import money
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Candidate, Draft, count, show_values
from finops_cli.importers.proposal.fields.days import iso_days
from finops_cli.importers.proposal.fields.names import (
    AS_OF,
    BOX,
    COVERAGE,
    CP_RATE,
    SECURITY_RATE,
    SETTLEMENT,
)
from finops_cli.importers.proposal.fields.number_columns import is_number, numbers_of
from finops_cli.importers.tables.table import Percentage

_CALENDAR = "finops counts settlement days"
_HUNDRED = Decimal(100)
_NEAR = Decimal(1)
"""A coverage agrees with box and quantity when it is within this many percent of them."""
_FEWEST = 2
_WEAK_RATE = "is this the fail rate of the counterparty, and not of the security or the desk?"
_WEAK_AGE = "are these settlement days? finops does not count calendar days"


def decide_rates(draft: Draft) -> None:
    """Propose coverage and fail rates, with their scale."""
    for field in (COVERAGE, CP_RATE, SECURITY_RATE):
        found = draft.candidates(field, is_number)
        if found:
            _decide_rate(draft, field, found[0])


def _decide_rate(draft: Draft, field: str, found: Candidate) -> None:
    column = found.column
    values = numbers_of(draft, column)
    numbers = [each for each in values if each is not None]
    why = f"{len(numbers)} of {count(len(column.filled), 'cell')} are numbers"
    doubt = _WEAK_RATE if found.is_weak else ""
    signed = sum("%" in text for text in column.filled)
    bare = [
        n
        for n, text in zip(values, column.texts, strict=True)
        if n and "%" not in text and not isinstance(n, Percentage)
    ]
    mix = _doubt_mix(bare, numbers, column)
    if signed and any(abs(number) <= 1 for number in bare):
        _ask_scale(draft, field, column)
        return
    if signed:
        draft.propose(field, column, f"{why}, with a sign of percent", check=doubt)
        return
    is_fraction = _compare_box(draft, column) if field == COVERAGE else None
    if is_fraction is not None:
        unit = "a cell of 1 is 100 percent" if is_fraction else "the cells are percent"
        more: dict[str, Any] = {"scale": str(_HUNDRED)} if is_fraction else {}
        draft.propose(field, column, f"{why}; box and quantity prove: {unit}", **more)
    elif any(number > 1 for number in numbers) and field != COVERAGE:
        draft.propose(field, column, f"{why}, some above 1: percent", check=_join(mix, doubt))
    elif field == COVERAGE and any(number > _FEWEST for number in numbers):
        most = max(numbers)
        is_sure = most > 10 or column.meaning.says_percent
        more_doubt = "" if is_sure else f"the largest cell is {most}: are the cells percent?"
        check = _join(mix, doubt or more_doubt)
        draft.propose(field, column, f"{why}: percent", check=check)
    elif column.meaning.says_percent or len({number for number in numbers if number}) < _FEWEST:
        _ask_scale(draft, field, column)
    else:
        draft.propose(
            field,
            column,
            f"{why}, none above {max(numbers)}: a cell of 0.04 is 4 percent",
            check=_join(f"is {_example(numbers)} {_percent(_example(numbers))} percent?", doubt),
            scale=str(_HUNDRED),
        )


def _doubt_mix(bare: list[Decimal], numbers: list[Decimal], column: Column) -> str:
    """Return the doubt where one column has fractions below 1 and percentages; else an empty text.

    Under a header that says percent, 0.5 beside 6.25 is not in doubt, but 0.05 beside 6.25 is.
    """
    low, high = min((n for n in bare if 0 < n < 1), default=None), max(numbers, default=Decimal())
    if low is None or high <= 1 or (column.meaning.says_percent and low * _HUNDRED > high):
        return ""
    return f"{low} and {high} are both read as percent: or is {low} {_percent(low)} percent?"


def _join(*doubts: str) -> str:
    return " ".join(filter(None, doubts))


def _example(numbers: list[Decimal]) -> Decimal:
    return next((number for number in numbers if 0 < number < 1), numbers[0])


def _percent(number: Decimal) -> str:
    return money.plain(number * _HUNDRED)


def _compare_box(draft: Draft, column: Column) -> bool | None:
    """Return true where box over quantity proves fractions, false where it proves percent."""
    if not {BOX, "qty"} <= draft.fields.keys():
        return None
    box, qty = (numbers_of(draft, draft.column_of(field)) for field in (BOX, "qty"))
    fractions = percents = 0
    for given, held, owed in zip(numbers_of(draft, column), box, qty, strict=True):
        if given and held and owed:
            real = abs(held / owed) * _HUNDRED
            fractions += abs(given * _HUNDRED - real) <= _NEAR
            percents += abs(given - real) <= _NEAR
    if max(fractions, percents) < _FEWEST or fractions == percents:
        return None
    return fractions > percents


def _ask_scale(draft: Draft, field: str, column: Column) -> None:
    shown = column.filled[0]
    if shown.endswith("%"):
        shown = next(text for text in column.filled if "%" not in text)
    draft.notes[column.index] = "the scale is not decided; see what is missing"
    draft.ask(
        field,
        f"column {column.name!r}: {show_values(column.filled)} may be percent or fractions",
        f"{field}: {column.name}  # under columns: {shown} is {shown} percent",
        f'{field}: {{column: {column.name}, scale: "100"}}  # under columns: 1 is 100 percent',
    )


def decide_age(draft: Draft) -> None:
    """Propose the age. Where the dates show that it counts calendar days, leave it out."""
    found = draft.candidates("age_days", is_number)
    if not found:
        found = [
            Candidate(column, 0, is_weak=False)
            for column in draft.columns
            if column.meaning.reason.startswith(_CALENDAR) and not column.is_blank
        ]
    for each in found:
        day = _calendar_day(draft, each.column)
        if day is None and each.column.meaning.reason:
            return
        if day is None:
            numbers = [number for number in numbers_of(draft, each.column) if number is not None]
            why = f"{len(numbers)} of {count(len(each.column.filled), 'cell')} are numbers"
            draft.propose("age_days", each.column, why, check=_WEAK_AGE if each.is_weak else "")
            return
        draft.notes[each.column.index] = (
            f"it counts calendar days: settlement date and age give {day} in all rows"
        )
        if not draft.has(AS_OF):
            draft.assume(
                AS_OF,
                day,
                f"settlement date plus {each.column.name!r} (calendar days) give it in all rows;"
                " the age is counted to it in settlement days",
            )
        return


def _calendar_day(draft: Draft, column: Column) -> str | None:
    """Return the one day to which settlement date and age lead in calendar days; else None."""
    days = iso_days(draft, SETTLEMENT)
    ages = numbers_of(draft, column)
    known = [(day, age) for day, age in zip(days, ages, strict=False) if day and age is not None]
    if len({day for day, _ in known}) < draft.kb.imports.evidence_rows:
        return None
    ends = {day + timedelta(days=int(age)) for day, age in known if 0 <= age < 10_000}
    long = any(age > 5 for _, age in known)  # a span that has a weekend
    return next(iter(ends)).isoformat() if len(ends) == 1 and long else None
