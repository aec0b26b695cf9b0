"""What a reasoning trace may name without deriving it: the figures and names of input, plan and
waterfall.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.foundry.trace_arithmetic import Number
from finops_cli.kb.book import Book
from finops_cli.rules.clock import age_days

NAME = re.compile(
    r"(?<=CUSIP )\S+(?<![;,.:])|\bDTC-\d+|\bT\+\d+(?:\.\d+)?|\bS\d+\b|\bB\d+B_PENDING\b"
)
"""A CUSIP, a counterparty, a settlement day, a signal, a category: their digits are no
quantities.
"""
_SIGNALS = ("S1", "S2", "S3", "S4")


def known_names(case: ResolverInput, book: Book) -> set[str]:
    """The names of `case`, the signals of gridlock, and the days that `waterfall.offset` knows."""
    names = {
        *_SIGNALS,
        case.triage.category,
        case.cusip,
        "T+0",
        f"T+{book.waterfall.offset_settles_by}",
    }
    if case.triage.deadline is not None:
        names.add(case.triage.deadline)
    if case.corporate_action is not None and case.corporate_action.new_cusip is not None:
        names.add(case.corporate_action.new_cusip)
    for ftr in case.ftrs:
        names.update((ftr.dtc, ftr.settlement_date))
    return names.union(fail.dtc for fail in case.related_fails)


def known_numbers(case: ResolverInput, plan: Resolution, book: Book) -> set[Number]:
    """Every figure of input, plan and waterfall, the age, the day of the deadline, what can be
    counted in the input.

    And what is covered after each step, which the plan says as what is open.
    """
    rules = book.waterfall
    known: set[Number] = {0, age_days(case, book.scoring)}
    known.update(case.ftd_qty - step.remaining_short for step in plan.resolution_steps)
    _collect((case, plan, [getattr(rules, field.name) for field in fields(rules)]), known)
    if case.triage.deadline is not None:
        known.add(int(case.triage.deadline[2:]))
    brokers = {ftr.dtc for ftr in case.ftrs}
    known.update(
        (
            len(brokers),
            len(brokers.union(fail.dtc for fail in case.related_fails)),
            len(case.related_fails),
        )
    )
    known.update((len(case.ftrs), *range(1, 1 + min(len(case.ftrs), rules.chase_steps))))
    return known.union(_speaking_against_s3(case, book))


def _speaking_against_s3(case: ResolverInput, book: Book) -> Iterable[int]:
    """How many FTRs break each of the three conditions of signal S3 (kb: `gridlock.signals`)."""
    attempts, aged = book.waterfall.gridlock_attempts_from, book.waterfall.gridlock_aged_from
    yield len([ftr for ftr in case.ftrs if ftr.partial_delivery_history])
    yield len(
        [
            ftr
            for ftr in case.ftrs
            if ftr.chase_attempts is not None and ftr.chase_attempts < attempts
        ]
    )
    yield len([ftr for ftr in case.ftrs if ftr.chase_attempts is None and ftr.age_days < aged])


def _collect(value: object, known: set[Number]) -> None:
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            _collect(getattr(value, name), known)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, known)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        known.add(value)
