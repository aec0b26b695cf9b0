"""Check an output line of `finops book` alone: its plan is its allotment (book, section 8)."""

from __future__ import annotations

from typing import Any

import msgspec

from finops_cli.domain.allotment import SOURCE_KINDS, AllottedShares, BookPlace
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution
from finops_cli.pipeline.earlier_lines import count_taken
from finops_cli.verify.codecs import RESOLUTION
from finops_cli.verify.schemas import show_value


def is_book_line(given: dict[str, Any]) -> bool:
    """Return true for a line of `finops book`."""
    return "allotment" in given and "book" in given


def is_rejected_by_book(given: dict[str, Any]) -> bool:
    """Return true for a line that only the inventory of the book rejects."""
    error = given.get("error")
    problems = error.get("problems") if isinstance(error, dict) else None
    if not isinstance(problems, list) or not problems:
        return False
    rules = [each.get("rule") if isinstance(each, dict) else None for each in problems]
    return all(isinstance(rule, str) and rule.startswith("book.") for rule in rules)


def check_book_line(given: dict[str, Any]) -> list[Finding]:
    """List the contradictions between the plan of a line, its allotment and its place."""
    try:
        allotment = msgspec.convert(given.get("allotment"), tuple[AllottedShares, ...] | None)
        place = msgspec.convert(given.get("book"), BookPlace | None)
    except msgspec.ValidationError as error:
        return [_finding("schema.shape", "/allotment", "an allotment and a place", str(error))]
    if (allotment is None) != (place is None):
        return [_finding("schema.shape", "/book", "null where allotment is null", place)]
    if allotment is None or place is None:
        return []
    plan = RESOLUTION.read(given.get("resolution"))
    if plan is None:
        return []  # the check of the answer reports it
    return [*_compare_steps(plan, allotment), *_compare_place(plan, allotment, place)]


def _compare_steps(plan: Resolution, allotment: tuple[AllottedShares, ...]) -> list[Finding]:
    taken = dict(zip(SOURCE_KINDS, count_taken(plan), strict=True))
    given = dict.fromkeys(SOURCE_KINDS, 0)
    for each in allotment:
        given[each.kind] += each.qty
    return [
        _finding("book.over_owed", f"/allotment/{kind}", taken[kind], given[kind])
        for kind in SOURCE_KINDS
        if taken[kind] != given[kind]
    ]


def _compare_place(
    plan: Resolution, allotment: tuple[AllottedShares, ...], place: BookPlace
) -> list[Finding]:
    late = sum(each.qty for each in allotment if each.late and not each.beside_borrow)
    found = []
    if place.uncovered != plan.residual_short:
        found.append(
            _finding("book.over_owed", "/book/uncovered", plan.residual_short, place.uncovered)
        )
    if place.late != late:
        found.append(_finding("book.cannot_serve", "/book/late", late, place.late))
    if not 1 <= place.place <= place.of:
        found.append(_finding("book.priority", "/book/place", f"1 to {place.of}", place.place))
    return found


def _finding(rule: str, path: str, expected: Any, actual: Any) -> Finding:
    return Finding(
        rule=rule,
        path=path,
        expected=expected,
        actual=show_value(actual) if isinstance(actual, msgspec.Struct) else actual,
        message=f"{path[1:]} is {actual}; the plan and the allotment give {expected}",
    )
