"""Check the signs of quantities and positions against who delivers."""

from __future__ import annotations

from typing import Any

from finops_cli.importers.proposal.draft import Draft, count
from finops_cli.importers.proposal.fields.names import DIRECTION, POSITION, SIDE
from finops_cli.importers.proposal.fields.number_columns import numbers_of

_SIDES = {"FTD": "Sell", "FTR": "Buy"}
_DIRECTIONS = {side: direction for direction, side in _SIDES.items()}


def check_signs(draft: Draft) -> None:
    """Check quantity, position and side against the direction of each row."""
    _check_quantity(draft)
    _check_position(draft)
    _check_sides(draft)


def drop_unsigned_position(draft: Draft) -> None:
    """Leave out a position without a sign, where no other column says who delivers.

    Each fail would be one to receive.
    """
    if POSITION not in draft.fields:
        return
    column = draft.column_of(POSITION)
    if any(number < 0 for number in numbers_of(draft, column) if number):
        return
    draft.fields.pop(POSITION)
    if draft.taken.get(column.index) == POSITION:
        draft.taken[column.index] = "qty" if _reads(draft, "qty", column.name) else ""
        draft.notes[column.index] = "it has no sign, which would say who delivers"


def _reads(draft: Draft, field: str, name: str) -> bool:
    return field in draft.fields and draft.fields[field].given["column"] == name


def _check_quantity(draft: Draft) -> None:
    """Drop the sign of quantities where it repeats what side or direction says."""
    if "qty" not in draft.fields or "sign" in draft.fields["qty"].given:
        return
    column = draft.column_of("qty")
    numbers = numbers_of(draft, column)
    negative = [text for text, n in zip(column.texts, numbers, strict=True) if n and n < 0]
    if not negative:
        return
    shown = draft.fields["qty"]
    owed = [
        (number < 0, side)
        for number, side in zip(numbers, _sides(draft), strict=True)
        if number and side
    ]
    why = f"{shown.why}; {count(len(negative), 'cell')} such as {negative[0]!r} below 0"
    ways = {is_negative == (side == "Sell") for is_negative, side in owed}
    is_told = len(ways) == 1 or len(negative) == len([n for n in numbers if n])
    if is_told or not draft.has(SIDE):
        said = ": the sign repeats who delivers" if len(ways) == 1 and owed else ""
        given = {**shown.given, "sign": "drop"}
        draft.fields["qty"] = shown._replace(given=given, why=f"{why}{said}")
        return
    doubt = (
        f"{count(len(negative), 'row')} below 0 will be refused, because the sign does not agree"
        " with the side: are these reversals? `sign: drop` takes them as quantities"
    )
    draft.fields["qty"] = shown._replace(why=why, check=f"{shown.check} {doubt}".strip())


def _sides(draft: Draft) -> list[str]:
    """Return the side of each row; empty where its columns do not give it."""
    if SIDE in draft.fields:
        values = draft.fields[SIDE].given.get("values", {})
        return [values.get(text, text) for text in draft.column_of(SIDE).texts]
    return [_SIDES.get(direction, "") for direction in _directions(draft)]


def _check_position(draft: Draft) -> None:
    """Compare the sign of the position with who delivers: short at CNS owes shares."""
    if POSITION not in draft.fields:
        return
    column = draft.column_of(POSITION)
    rows = list(zip(numbers_of(draft, column), _directions(draft), strict=True))
    agree = sum((n < 0) == (d == "FTD") for n, d in rows if n and d in _SIDES)
    against = sum((n < 0) != (d == "FTD") for n, d in rows if n and d in _SIDES)
    if agree == 0 and against == 0:
        return
    shown = draft.fields[POSITION]
    negative = any(number < 0 for number, _ in rows if number)
    if against and not negative:
        draft.fields.pop(POSITION)
        if draft.taken.get(column.index) == POSITION:
            draft.taken[column.index] = "qty" if _reads(draft, "qty", column.name) else ""
            draft.notes[column.index] = (
                "it has no sign: with FTD, a position above 0 would mean that nothing is owed"
            )
    elif against and not agree:
        draft.propose(
            POSITION,
            column,
            f"{shown.why}; above 0 where the firm delivers, in all rows",
            check="is the sign the opposite of CNS, where short is negative?",
            sign="negate",
        )
    elif against:
        doubt = f"{count(against, 'row')} of {agree + against} has a position against its direction"
        draft.fields[POSITION] = shown._replace(check=f"{shown.check} {doubt}".strip())
    else:
        draft.fields[POSITION] = shown._replace(
            why=f"{shown.why}; below 0 where the firm delivers, in all rows"
        )


def _directions(draft: Draft) -> list[str]:
    """Return the direction of each row, as its columns of direction or side give it."""
    found = draft.fields.get(DIRECTION)
    rows = len(draft.columns[0].texts)
    if found is not None and "when" in found.given:
        return [_apply(draft, found.given["when"], row) for row in range(rows)]
    if found is not None:
        values = found.given.get("values", {})
        return [values.get(text, text) for text in draft.column_of(DIRECTION).texts]
    if SIDE in draft.fields:
        values = draft.fields[SIDE].given.get("values", {})
        return [_DIRECTIONS.get(values.get(text, text), "") for text in draft.column_of(SIDE).texts]
    return [""] * rows


def _apply(draft: Draft, rules: list[dict[str, Any]], row: int) -> str:
    by_name = {column.name: column for column in draft.columns}
    for rule in rules:
        conditions = rule.get("if", {})
        if all(by_name[name].texts[row] in texts for name, texts in conditions.items()):
            return str(rule["then"])
    return ""


def _check_sides(draft: Draft) -> None:
    """Count the rows whose side and direction contradict each other; finops rejects them."""
    if not {SIDE, DIRECTION} <= draft.fields.keys():
        return
    shown = draft.fields[SIDE]
    wrong = sum(
        direction in _SIDES and bool(side) and _SIDES[direction] != side
        for side, direction in zip(_sides(draft), _directions(draft), strict=True)
    )
    if wrong:
        doubt = f"{count(wrong, 'row')} contradicts its direction and will be rejected"
        draft.fields[SIDE] = shown._replace(check=f"{shown.check} {doubt}".strip())
