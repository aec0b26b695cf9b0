"""Decide which column gives the DTC number of the counterparty, and which its name."""

from __future__ import annotations

from finops_cli.domain import limits
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Candidate, Draft, count, show_values
from finops_cli.importers.proposal.values.identifiers import (
    is_exact_dtc,
    read_dtc,
    text_repairs,
)
from finops_cli.importers.proposal.yaml_text import flow

NUMBER, NAME = "counterparty", "counterparty_name"
_MOST_FIRMS = 12
_MOST = 5
"""Five of six cells have to be numbers of up to four digits."""
_WEAK = "are these DTC numbers, or numbers that the house gives its brokers?"
_CONSTANT = "the number is equal in all rows: is it the counterparty, or your own number?"
_NONE_KNOWN = "constants: {counterparty: DTC-0000}  # where no counterparty is known"


def decide_counterparty(draft: Draft) -> None:
    """Propose the counterparty, and its name from another column."""
    numbers = draft.candidates(NUMBER, _has_numbers)
    varied = [each for each in numbers if not each.column.is_constant]
    if numbers:
        _propose_number(draft, (varied or numbers)[0], numbers)
    _decide_name(draft)
    if not numbers:
        _ask(draft)


def _has_numbers(column: Column) -> bool:
    found = sum(read_dtc(text) is not None for text in column.filled)
    return found * (_MOST + 1) >= len(column.filled) * _MOST


def _propose_number(draft: Draft, chosen: Candidate, numbers: list[Candidate]) -> None:
    column = chosen.column
    good = [text for text in column.filled if read_dtc(text)]
    why = f"{len(good)} of {count(len(column.filled), 'cell')} are DTC numbers"
    more = {}
    if bare := [text for text in good if not is_exact_dtc(text)]:
        why += f"; {show_values(bare)} {'is' if len(bare) == 1 else 'are'} padded to DTC-NNNN"
        more = {"repairs": [*text_repairs(good), "pad_dtc"]}
    doubts = [_WEAK] if chosen.is_weak and not all(map(is_exact_dtc, good)) else []
    doubts += [_CONSTANT] if column.is_constant else []
    doubts += [
        f"column {other.column.name!r} has other numbers: which one is the counterparty?"
        for other in numbers
        if other.column is not column
        and not other.is_weak
        and not other.column.is_constant
        and [read_dtc(text) for text in other.column.texts]
        != [read_dtc(text) for text in column.texts]
    ][:1]
    draft.propose(NUMBER, column, why, check="; ".join(doubts), **more)
    for other in numbers:
        if other.column is not column:
            draft.taken.setdefault(other.column.index, "")
            draft.notes[other.column.index] = f"the counterparty is read from {column.name!r}"


def _decide_name(draft: Draft) -> None:
    """Propose a column of names; under the headers of the counterparty too."""
    named = draft.candidates(NAME, _has_names) + draft.candidates(NUMBER, _has_names)
    if named:
        column = named[0].column
        draft.propose(NAME, column, f"names such as {show_values(column.filled)}")


def _has_names(column: Column) -> bool:
    return all(
        any(sign.isalpha() for sign in text)
        and read_dtc(text) is None
        and len(text) <= limits.NAME_CHARS
        for text in column.filled
    )


def _ask(draft: Draft) -> None:
    name = draft.fields.get(NAME)
    why = "no column has DTC numbers (up to four digits)"
    if name is not None:
        why += f"; column {name.given['column']!r} has names"
    choices = [_NONE_KNOWN]
    if name is None:
        choices.insert(
            0,
            "counterparty: {column: COLUMN, repairs: [pad_dtc]}"
            "  # under columns, with the column of DTC numbers",
        )
    else:
        column = draft.column_of(NAME)
        firms = dict.fromkeys(column.distinct[:_MOST_FIRMS], "DTC-NNNN")
        more = ", and so on" if len(column.distinct) > _MOST_FIRMS else ""
        choices.insert(
            0,
            f"counterparty: {flow({'column': column.name, 'values': firms})}"
            f"  # under columns, with the number of each firm{more}",
        )
    draft.ask(NUMBER, why, *choices, is_required=True)
