"""Decide which columns give quantities, values, ages and stock."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Candidate, Draft, count, show_values
from finops_cli.importers.proposal.fields.number_columns import is_number, numbers_of

_STOCK = (
    "inventory.box_qty",
    "inventory.stock_loan_available",
    "inventory.recall_outstanding",
    "inventory.pending_receives",
)
_STOCK_MORE = (
    "inventory.depot_qty",
    "inventory.depot_transit_days",
    "inventory.recall_notice_days",
)
_DOUBTS = {
    "qty": "is this the quantity that is still open, and not another one of the trade?",
    "market_value": (
        "is this the market value of today? An amount of the trade is what it costs, not what it"
        " is worth"
    ),
    "cns_position": "is this the position at CNS?",
    "inventory.box_qty": "are these shares of the firm that it may deliver for this fail?",
    "inventory.stock_loan_available": "are these shares that can be borrowed?",
    "inventory.recall_outstanding": (
        "are these shares whose return can be recalled? Loans that run on are not"
    ),
    "inventory.pending_receives": "are these shares that others still have to deliver?",
}
_DOLLAR = "USD"
_LEAST, _MOST = Decimal("0.2"), Decimal(5)
"""A market value is within these multiples of quantity times price."""


def decide_amounts(draft: Draft) -> None:
    """Propose quantity, market value, position at CNS and stock."""
    for field in ("qty", "min_partial_qty", "cns_position", *_STOCK, *_STOCK_MORE):
        _decide_whole(draft, field)
    _read_position_as_quantity(draft)
    _decide_value(draft)
    _complete_stock(draft)


def _decide_whole(draft: Draft, field: str) -> None:
    """Propose a whole number from the best column."""
    found = draft.candidates(field, is_number)
    found = [each for each in found if not _is_torn(draft, field, each)]
    if not found:
        return
    column = found[0].column
    numbers = [each for each in numbers_of(draft, column) if each is not None]
    why = f"{len(numbers)} of {count(len(column.filled), 'cell')} are numbers"
    if fractions := [number for number in numbers if number != int(number)]:
        why += f"; {show_values(map(str, fractions))} is not a whole number: such rows are refused"
    doubts = [_DOUBTS[field]] if found[0].is_weak and field in _DOUBTS else []
    doubts += _compare(draft, found)
    more: dict[str, Any] = {}
    blanks = len(column.texts) - len(column.filled)
    if blanks and field in _STOCK:
        more["default"] = "0"
        why += f"; {count(blanks, 'empty cell')} as 0, the unfavourable side"
    draft.propose(field, column, why, check="; ".join(doubts), **more)


def _is_torn(draft: Draft, field: str, found: Candidate) -> bool:
    """Return true, and ask, where a header means two fields of stock equally well."""
    others = [
        match.field
        for match in found.column.meaning.matches
        if match.is_weak and match.field in _STOCK and match.field != field
    ]
    if not found.is_weak or field not in _STOCK or not others:
        return False
    if found.column.index not in draft.notes:
        draft.notes[found.column.index] = f"may be {field} or {others[0]}; see what is missing"
        draft.ask(
            f"{field} or {others[0]}",
            f"column {found.column.name!r} may be either",
            *(f"{each}: {found.column.name}  # under columns" for each in (field, others[0])),
        )
    return True


def _compare(draft: Draft, found: list[Candidate]) -> list[str]:
    """Name another column of the same field whose numbers differ."""
    ours = numbers_of(draft, found[0].column)
    for other in found[1:]:
        if other.is_weak and not found[0].is_weak:
            continue
        draft.notes.setdefault(other.column.index, f"{found[0].column.name!r} is read instead")
        if numbers_of(draft, other.column) != ours:
            ours_named, named = found[0].column.describe(), other.column.describe()
            return [f"column {named} has other numbers than {ours_named}: which is right?"]
    return []


def _read_position_as_quantity(draft: Draft) -> None:
    """Where only a position at CNS is given, its size is the quantity."""
    if "cns_position" not in draft.fields or draft.has("qty"):
        return
    column = draft.column_of("cns_position")
    draft.propose(
        "qty", column, "the size of the position; no other column has a quantity", sign="drop"
    )


def _decide_value(draft: Draft) -> None:
    found = draft.candidates("market_value", is_number)
    foreign = [each for each in found if _currency(draft, each.column)]
    found = [each for each in found if each not in foreign]
    for each in foreign:
        draft.notes[each.column.index] = f"the currency is {_currency(draft, each.column)}"
    if not found:
        _ask_value(draft, foreign)
        return
    column = found[0].column
    numbers = [each for each in numbers_of(draft, column) if each is not None]
    more: dict[str, Any] = {}
    why = f"{len(numbers)} of {count(len(column.filled), 'cell')} are numbers"
    doubts = [_DOUBTS["market_value"]] if found[0].is_weak else []
    if any(number < 0 for number in numbers):
        more["sign"] = "drop"
        why += "; signs are dropped"
    scale = column.meaning.scale
    if scale != 1:
        why += f"; the header says that a cell counts {scale:,} dollars"
    ratio = _ratio(draft, column, scale)
    if ratio is not None and not _LEAST <= ratio <= _MOST:
        rough = f"{ratio:.4f}".rstrip("0").rstrip(".")
        doubts.append(f"it is {rough} times quantity and price: are these dollars?")
    elif ratio is not None:
        why += "; it agrees with quantity and price"
    if scale != 1:
        more["scale"] = str(scale)
    doubts += _compare(draft, found)[:1]
    draft.propose("market_value", column, why, check="; ".join(doubts), **more)


def _currency(draft: Draft, column: Column) -> str:
    """Return the currency of a column of money where it is not the US dollar."""
    if column.meaning.currency or column.meaning.says_dollar:
        return column.meaning.currency
    for other in draft.columns:
        if other.meaning.reason.startswith("a currency"):
            foreign = [text for text in other.distinct if text.upper() != _DOLLAR]
            if foreign:
                return ", ".join(foreign)
    return ""


def _ask_value(draft: Draft, foreign: list[Candidate]) -> None:
    why = "no column has the market value in US dollars"
    if foreign:
        column = foreign[0].column
        why += f"; column {column.name!r} has {_currency(draft, column)}"
    draft.ask(
        "market_value",
        why,
        *([] if foreign else ["market_value: COLUMN  # under columns, with amounts in US dollars"]),
        "add a column with quantity times price, in US dollars, to the file",
        is_required=True,
    )


def _ratio(draft: Draft, column: Column, scale: Decimal) -> Decimal | None:
    """Return the median of value over quantity times price; None without a column of prices."""
    prices = [
        each
        for each in draft.columns
        if each.meaning.reason.startswith("a price") and not each.is_blank and is_number(each)
    ]
    if not prices or "qty" not in draft.fields:
        return None
    shares = draft.column_of("qty")
    rows = zip(*(numbers_of(draft, each) for each in (column, shares, prices[0])), strict=True)
    ratios = sorted(
        abs(value * scale / (qty * price))
        for value, qty, price in rows
        if value is not None and qty and price
    )
    return ratios[len(ratios) // 2] if ratios else None


def _complete_stock(draft: Draft) -> None:
    """Fill in stock that the file does not name: none, which is the unfavourable side."""
    given = [field for field in _STOCK if draft.has(field)]
    if not given:
        return
    if not draft.has(_STOCK[0]):
        _drop_stock(draft, given)
        return
    for field in _STOCK[1:]:
        if not draft.has(field):
            draft.assume(field, "0", "no column gives it; 0 is the unfavourable side")


def _drop_stock(draft: Draft, given: Iterable[str]) -> None:
    """Leave stock out where the shares in the box are not known."""
    lines = []
    for field in given:
        name = draft.fields.pop(field).given["column"]
        place = next(each.index for each in draft.columns if each.name == name)
        draft.notes[place] = "stock needs the shares in the box; see what is missing"
        lines.append(f"{field}: {name}")
    draft.ask(
        _STOCK[0],
        f"the file has stock, but no column of shares in the box ({'; '.join(lines)})",
        "inventory.box_qty: COLUMN  # under columns, with the lines in brackets",
        'constants: {inventory.box_qty: "0"}  # with the lines in brackets under columns',
    )
