"""Decide which columns give the side and the direction at CNS.

A side is `B` and `S`, or who delivers. A direction is FTD or FTR where the fail is in CNS; often a
flag says whether it is, and another column who delivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Draft, count, explain_words, show_values
from finops_cli.importers.proposal.fields.names import DIRECTION, POSITION, SIDE, VENUE
from finops_cli.importers.proposal.fields.number_columns import numbers_of
from finops_cli.importers.proposal.fields.signs import check_signs, drop_unsigned_position
from finops_cli.importers.proposal.values.cell_words import add_opposite, read_truth, read_words
from finops_cli.importers.proposal.yaml_text import flow

_CNS = "cns"
_TRUTH = {"Y": "Yes", "YES": "Yes", "N": "No", "NO": "No"}
_DIRECTIONS = {"Sell": "FTD", "Buy": "FTR"}
_SIDES = {"FTD": "Sell", "FTR": "Buy"}


class _Sides(NamedTuple):
    """A column of sides, with the side of each text."""

    column: Column
    values: dict[str, str]
    check: str = ""


class _Flag(NamedTuple):
    """A column that says whether a fail is in CNS, with the texts that mean so and not so."""

    column: Column
    inside: list[str]
    outside: list[str]
    venues: dict[str, str]
    """The venue of each text; empty where the texts are yes and no."""


def decide_directions(draft: Draft) -> None:
    """Propose side and direction, and check the position at CNS against them."""
    direction = _find_direction(draft)
    flag = None if direction else _find_flag(draft)
    sides = _find_sides(draft, direction)
    if direction is None and sides is None:
        direction = _find_long_short(draft)
    if direction is None and sides is None:
        drop_unsigned_position(draft)
    if direction:
        _propose_direction(draft, direction)
    elif flag and sides:
        _propose_when(draft, flag, sides)
    if sides:
        _propose_side(draft, sides)
    elif direction:
        _propose_side_of_direction(draft, direction)
    if not direction and not (flag and sides):
        _ask_direction(draft, flag, sides)
    if not draft.has(SIDE):
        _ask_side(draft)
    check_signs(draft)


def _find_direction(draft: Draft) -> _Sides | None:
    """Find a column that gives the direction alone, such as `FTD` and `FTR`."""
    for column, _, _ in draft.candidates(DIRECTION, lambda _: True):
        values = read_words(column, draft.kb.imports.cns_cells)
        if values and read_truth(column, {}) is None and set(values.values()) != {"N_A"}:
            return _Sides(column, add_opposite(values, draft.kb.imports.cns_cells))
    return None


def _find_long_short(draft: Draft) -> _Sides | None:
    """Find a column of long and short beside a position at CNS; it may mark sales instead."""
    if POSITION not in draft.fields:
        return None
    for column, _, _ in draft.candidates("clock_facts.sale_type", lambda _: True):
        values = read_words(column, draft.kb.imports.cns_cells)
        if values and set(values.values()) <= {"FTD", "FTR"}:
            doubt = "is this long or short at CNS, and not how the sale was marked?"
            return _Sides(column, add_opposite(values, draft.kb.imports.cns_cells), doubt)
    return None


def _find_flag(draft: Draft) -> _Flag | None:
    """Find a column that says whether a fail is in CNS."""
    words = draft.kb.imports
    for column, _, _ in draft.candidates(DIRECTION, lambda _: True):
        truth = read_truth(column, words.truth_cells)
        if truth and _CNS in column.header.casefold():
            return _make_flag(column, truth.values, {})
    for field in (VENUE, DIRECTION):
        for column, _, _ in draft.candidates(field, lambda _: True):
            venues = read_words(column, words.venue_cells)
            if venues and _CNS in venues.values():
                return _make_flag(column, venues, venues)
    return None


def _make_flag(column: Column, values: Mapping[str, str], venues: dict[str, str]) -> _Flag:
    inside = [text for text, meaning in values.items() if meaning in {"Yes", _CNS}]
    outside = [text for text in values if text not in inside]
    if len(column.filled) < len(column.texts):
        outside.append("")
    elif not outside and not venues:
        outside = [text for text in add_opposite(values, _TRUTH) if text not in inside]
    return _Flag(column, inside, outside, venues)


def _find_sides(draft: Draft, direction: _Sides | None) -> _Sides | None:
    words = draft.kb.imports.side_cells
    for column, _, _ in draft.candidates(SIDE, lambda _: True):
        values = read_words(column, words)
        if values:
            return _Sides(column, add_opposite(values, words))
    for column, _, _ in draft.candidates(DIRECTION, lambda _: True) if direction is None else ():
        values = read_words(column, words)
        if values and read_truth(column, {}) is None:
            return _Sides(column, add_opposite(values, words))
    return _find_unnamed_sides(draft) if direction is None else None


def _find_unnamed_sides(draft: Draft) -> _Sides | None:
    """Find the one column under an unknown header whose texts are words of both sides."""
    found = []
    for column in draft.columns:
        is_known = column.meaning.matches or column.meaning.reason or column.index in draft.taken
        values = None if is_known else read_words(column, draft.kb.imports.side_cells)
        if values and set(values.values()) == set(_DIRECTIONS):
            found.append(_Sides(column, values, "only the words in the cells say so"))
    return found[0] if len(found) == 1 else None


def _propose_direction(draft: Draft, found: _Sides) -> None:
    column = found.column
    values = dict(found.values)
    why = explain_words(values)
    doubts = []
    blanks = len(column.texts) - len(column.filled)
    if blanks:
        values[""] = "N_A"
        why += f"; {count(blanks, 'empty cell')}: N_A, not in CNS"
        if not _is_without_position(draft, column):
            doubts.append("is a fail with an empty cell outside CNS?")
    if found.check:
        doubts.append(found.check)
    elif _CNS not in column.header.casefold():
        doubts.append("are these obligations in CNS? A bilateral fail has N_A")
    is_same = all(text == meaning for text, meaning in values.items())
    more: dict[str, Any] = {} if is_same else {"values": values}
    draft.propose(
        DIRECTION,
        column,
        why,
        check=" ".join(doubts),
        **more,
    )


def _is_without_position(draft: Draft, column: Column) -> bool:
    """Return true when the rows with an empty cell have no position at CNS either."""
    if POSITION not in draft.fields:
        return False
    numbers = numbers_of(draft, draft.column_of(POSITION))
    return not any(number for number, text in zip(numbers, column.texts, strict=True) if not text)


def _propose_when(draft: Draft, flag: _Flag, sides: _Sides) -> None:
    """Propose a direction that the flag and the side decide together."""
    rules: list[dict[str, Any]] = []
    for side, direction in _DIRECTIONS.items():
        texts = [text for text, meaning in sides.values.items() if meaning == side]
        if texts:
            condition = {flag.column.name: flag.inside, sides.column.name: texts}
            rules.append({"if": condition, "then": direction})
    if flag.outside:
        rules.append({"if": {flag.column.name: flag.outside}, "then": "N_A"})
    inside = show_values(flag.inside)
    draft.fields[DIRECTION] = draft.make(
        DIRECTION,
        {"when": rules},
        f"{flag.column.name!r} says with {inside} that a fail is in CNS, and"
        f" {sides.column.name!r} who delivers",
        f"is a fail with an empty {flag.column.name!r} outside CNS?" if "" in flag.outside else "",
    )
    draft.taken[flag.column.index] = DIRECTION
    if flag.venues:
        draft.propose(VENUE, flag.column, "where the fail is cleared", values=flag.venues)


def _propose_side(draft: Draft, found: _Sides) -> None:
    column = found.column
    values = found.values
    is_same = all(text == meaning for text, meaning in values.items())
    why = explain_words(values)
    more: dict[str, Any] = {} if is_same else {"values": dict(values)}
    draft.propose(SIDE, column, why, check=found.check, **more)


def _propose_side_of_direction(draft: Draft, found: _Sides) -> None:
    """Propose the side from a column of directions; a fail outside CNS then has none."""
    values = {text: _SIDES[meaning] for text, meaning in found.values.items() if meaning in _SIDES}
    why = "who fails to deliver sells, who fails to receive buys"
    check = ""
    if len(found.column.filled) < len(found.column.texts):
        check = "a row with an empty cell has no side and is refused"
    draft.propose(SIDE, found.column, why, check=check, values=values)


def _ask_direction(draft: Draft, flag: _Flag | None, sides: _Sides | None) -> None:
    """Say how the direction is found where no column gives it."""
    if (
        flag is None
        and sides
        and _CNS in re.split(r"[\W_]+", draft.title.casefold())
        and POSITION not in draft.fields
    ):
        values = {text: _DIRECTIONS[meaning] for text, meaning in sides.values.items()}
        draft.fields[DIRECTION] = draft.make(
            DIRECTION,
            {"column": sides.column.name, "values": values},
            "the title of the file names CNS, and the column says who delivers",
            "are all rows obligations in CNS?",
        )
        draft.taken.setdefault(sides.column.index, DIRECTION)
        return
    if POSITION in draft.fields:
        return  # the pipeline derives the direction from the position
    why = "no column says which fails are in CNS: all are read as N_A, bilateral"
    if flag is not None:
        why = f"column {flag.column.name!r} says which fails are in CNS, but no column who delivers"
    draft.ask(
        DIRECTION,
        why,
        f"cns_direction: {_write_all_in_cns(sides)}  # under columns: all are in CNS",
        "constants: {cns_direction: N_A}  # none is in CNS",
    )


def _write_all_in_cns(sides: _Sides | None) -> str:
    """Write the direction of fails that are all in CNS, from the column of sides."""
    if sides is None:
        return "{column: SIDE, values: {S: FTD, B: FTR}}"
    values = {text: _DIRECTIONS[side] for text, side in sides.values.items()}
    return flow({"column": sides.column.name, "values": values})


def _ask_side(draft: Draft) -> None:
    """Ask for the side where no column gives it, unless the position does."""
    if POSITION in draft.fields:
        return  # the pipeline derives the side from the direction
    why = "no column says who delivers"
    choices = ["constants: {side: Sell}  # all rows are fails to deliver"]
    if draft.section:
        why += f", and {draft.section} begins a part of the file that may say it"
        choices = [
            "add a column Side with Sell and Buy to the file, or save each part as its own file"
        ]
    qty = draft.fields.get("qty")
    if qty is not None:
        signs = {number < 0 for number in numbers_of(draft, draft.column_of("qty")) if number}
        if len(signs) > 1:
            name = qty.given["column"]
            why = f"no column says who delivers; the sign of {name!r} may"
            choices = [
                f"cns_position: {{column: {name}}}  # under columns: negative is a delivery at CNS",
                f"cns_position: {{column: {name}, sign: negate}}  # negative is a receipt at CNS",
            ]
    draft.ask(SIDE, why, *choices, is_required=True)
