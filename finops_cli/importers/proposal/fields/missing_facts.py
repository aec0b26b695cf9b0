"""Ask for the facts that a record needs and that no column gives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finops_cli.importers.proposal.draft import Draft, short_name
from finops_cli.importers.proposal.fields.names import (
    AS_OF,
    BOX,
    COVERAGE,
    CP_RATE,
    SETTLEMENT,
    TRADE,
)
from finops_cli.importers.proposal.values.date_formats import read_date

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[/.-][0-9A-Za-z]{1,3}[/.-][0-9]{2,4}")
_AS_OF = re.compile(r"\b(as of|as at|date|cob|stand|per)\b", re.IGNORECASE)


def find_as_of(draft: Draft, preamble: Sequence[tuple[int, str]]) -> None:
    """Propose the day of the data from a line above the header, such as `As of 11/25/2026`."""
    if draft.has(AS_OF):
        return
    for line, text in preamble:
        found = _DATE.search(text)
        if not found or not _AS_OF.search(text):
            continue
        known = draft.date_formats or list(draft.kb.imports.date_formats)
        reads = {read for form in [None, *known] if (read := read_date(found[0], form))}
        if len(reads) == 1:
            draft.assume(
                AS_OF, reads.pop(), f"line {line}: {text!r}", check="is it the day of the data?"
            )
            return


def ask_for_rest(draft: Draft) -> None:
    """List what is missing, after everything that the columns decide."""
    if not draft.has("qty"):
        draft.ask(
            "qty",
            "no column has the number of shares",
            "qty: COLUMN  # under columns",
            is_required=True,
        )
    if not draft.has("age_days"):
        _ask_age(draft)
    if not draft.has(COVERAGE) and not draft.has(BOX):
        _ask_coverage(draft)
    if not draft.has(CP_RATE) and all(CP_RATE not in each.name for each in draft.missing):
        draft.ask(
            CP_RATE,
            "no column has it; finops then assumes the worst rate, and says so in each record",
            "--counterparty-history FILE  # counts it from date, counterparty, trades and fails",
            option="--counterparty-history",
        )


def _ask_age(draft: Draft) -> None:
    if draft.has(SETTLEMENT) or draft.has(TRADE):
        if not draft.has(AS_OF):
            draft.ask(
                AS_OF,
                "the age is counted from the dates, and no column says to which day",
                "--as-of 2026-11-25  # with the day of the data",
                "constants: {clock_facts.as_of: 2026-11-25}  # with the day of the data",
                is_required=True,
                option="--as-of",
            )
        return
    dates = {short_name(field) for field in (SETTLEMENT, TRADE)}
    for place, each in enumerate(draft.missing):
        if dates & set(re.split(", ", each.name)):
            draft.missing[place] = each._replace(is_required=True)
            return
    draft.ask(
        "age_days",
        "no column has the age in settlement days, nor a settlement date to count it from",
        "settlement_date: COLUMN  # under columns, with clock_facts.as_of under constants",
        "age_days: COLUMN  # under columns",
        is_required=True,
    )


def _ask_coverage(draft: Draft) -> None:
    if any(COVERAGE in each.name for each in draft.missing):
        return
    draft.ask(
        COVERAGE,
        "no column has it, nor the shares in the box from which it is counted; finops then assumes"
        " that the box is empty, and says so in each record",
        "--inventory FILE  # a stock file by CUSIP",
        option="--inventory",
    )
