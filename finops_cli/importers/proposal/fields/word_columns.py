"""Decide which columns give yes or no, words of a closed list, and free text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from finops_cli.domain import limits
from finops_cli.domain.enums import RegShoStatus
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Candidate, Draft, count, explain_words, show_values
from finops_cli.importers.proposal.fields.number_columns import is_number
from finops_cli.importers.proposal.values.cell_words import read_truth, read_words

THRESHOLD, STATUS = "reg_sho_threshold", "reg_sho_status"
_FLAGS = (
    THRESHOLD,
    "cns_eligible",
    "awaiting_street_receipt",
    "clock_facts.customer",
)
_DK = "dk_reason"


def decide_words(draft: Draft) -> None:
    """Propose flags, words of closed lists, names of records, tickers and notes."""
    _decide_status(draft)
    for field in _FLAGS:
        _decide_flag(draft, field)
    words = draft.kb.imports
    _decide_list(draft, "clock_facts.sale_type", words.sale_type_cells)
    _decide_list(draft, "clock_facts.security_type", words.security_type_cells)
    _decide_list(draft, "clock_facts.venue", words.venue_cells)
    _decide_dispute(draft)
    _decide_name(draft)
    _decide_symbol(draft)
    _decide_notes(draft)
    if not draft.has(THRESHOLD):
        _ask_threshold(draft)


def _decide_status(draft: Draft) -> None:
    statuses = {word: word for word in get_args(RegShoStatus)}
    for field in (STATUS, THRESHOLD):
        for column, _, _ in draft.candidates(field, lambda _: True):
            found = read_words(column, statuses)
            if found and set(found.values()) != {"THRESHOLD"} and set(found.values()) != {"NONE"}:
                draft.propose(STATUS, column, f"words such as {show_values(column.filled)}")
                return


def _decide_flag(draft: Draft, field: str) -> None:
    for column, _, is_weak in draft.candidates(field, lambda _: True):
        truth = read_truth(column, draft.kb.imports.truth_cells)
        if truth is None:
            continue
        why = explain_words(truth.values)
        doubts = ["is this the flag of the threshold list?"] if is_weak else []
        more: dict[str, object] = {} if truth.is_plain else {"values": dict(truth.values)}
        blanks = len(column.texts) - len(column.filled)
        if blanks and field == THRESHOLD:
            more["default"] = "No"
            why += f"; {count(blanks, 'empty cell')} as No"
            doubts.append("does an empty cell mean No?")
        elif not truth.is_plain:
            doubts.append("do these marks mean yes and no?")
        draft.propose(field, column, why, check=" ".join(doubts), **more)
        return


def _decide_list(draft: Draft, field: str, words: Mapping[str, str]) -> None:
    if draft.has(field):
        return
    for column, _, _ in draft.candidates(field, lambda _: True):
        found = read_words(column, words)
        if found:
            why = explain_words(found)
            draft.propose(field, column, why, values=found)
            return


def _decide_dispute(draft: Draft) -> None:
    """Propose the reason of a dispute. A flag of `Y` and `N` gives one only where it is yes."""
    for column, _, _ in draft.candidates(_DK, lambda column: not is_number(column)):
        truth = read_truth(column, draft.kb.imports.truth_cells)
        if truth is None:
            draft.propose(_DK, column, f"texts such as {show_values(column.filled)}")
        else:
            values = {
                text: "DK" if meaning == "Yes" else "" for text, meaning in truth.values.items()
            }
            draft.propose(
                _DK, column, "a flag: a fail in dispute gets the reason DK", values=values
            )
        return


def _decide_name(draft: Draft) -> None:
    """Propose the name of the records from a column without repeats."""
    for column, _, _ in draft.candidates("fail_id", lambda _: True):
        repeated = len(column.distinct) < len(column.filled)
        if repeated:
            draft.notes[column.index] = "its texts repeat, and each record needs a name of its own"
        elif len(max(column.filled, key=len)) <= limits.ID_CHARS:
            draft.propose("fail_id", column, "each text is there once")
            return


def _decide_symbol(draft: Draft) -> None:
    def fits(column: Column) -> bool:
        return all(len(text) <= limits.SYMBOL_CHARS for text in column.filled)

    for column, _, _ in draft.candidates("symbol", fits)[:1]:
        draft.propose("symbol", column, f"tickers such as {show_values(column.filled)}")


def _decide_notes(draft: Draft) -> None:
    found: list[Candidate] = draft.candidates("notes", lambda column: not is_number(column))
    for column, _, _ in found[:1]:
        draft.propose("notes", column, f"texts such as {show_values(column.filled[:2])}")


def _ask_threshold(draft: Draft) -> None:
    empty = [
        column.name
        for column in draft.columns
        if column.is_blank and any(match.field == THRESHOLD for match in column.meaning.matches)
    ]
    why = "no column says which securities are on a Reg SHO threshold list"
    if empty:
        why = f"column {empty[0]!r} is empty in all rows that were read"
    draft.ask(
        THRESHOLD,
        why,
        'constants: {reg_sho_threshold: "No"}  # none is on a list',
        'constants: {reg_sho_threshold: "Yes"}  # the unfavourable side',
        is_required=True,
    )
