"""Read the words of a column: yes and no, Buy and Sell, FTD and FTR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from finops_cli.importers.proposal.columns import Column

_PLAIN_TRUTH = {
    **dict.fromkeys(("yes", "y", "true", "1"), "Yes"),
    **dict.fromkeys(("no", "n", "false", "0"), "No"),
}
"""The words that every mapping reads, as `finops_cli.importers.mapped_rows.cells` has them."""
_OPPOSITES = (
    *(("B", "S"), ("BUY", "SELL"), ("BOT", "SLD"), ("BOUGHT", "SOLD"), ("P", "S")),
    *(("PURCHASE", "SALE"), ("D", "R"), ("DEL", "REC"), ("DELIVER", "RECEIVE")),
    *(("DELIVERY", "RECEIPT"), ("DVP", "RVP"), ("FTD", "FTR"), ("L", "S"), ("LONG", "SHORT")),
    *(("Y", "N"), ("YES", "NO"), ("FAIL TO DELIVER", "FAIL TO RECEIVE")),
)
"""Words that a file uses beside each other, so that a mapping knows one before it occurs."""


class CellWords(NamedTuple):
    """The meaning of each text of a column."""

    values: dict[str, str]
    is_plain: bool
    """The texts are read without `values`."""


def read_words(column: Column, words: Mapping[str, str]) -> dict[str, str] | None:
    """Return the meaning of each text of a column, in order; None where one is not known."""
    meanings = {text: words.get(" ".join(text.upper().split())) for text in column.distinct}
    known = {text: meaning for text, meaning in meanings.items() if meaning is not None}
    return known if known and len(known) == len(meanings) else None


def read_truth(column: Column, words: Mapping[str, str]) -> CellWords | None:
    """Return which texts mean yes and which no; None where a text means neither."""
    plain = {text: _PLAIN_TRUTH.get(text.casefold()) for text in column.distinct}
    if plain and all(plain.values()):
        return CellWords({text: str(meaning) for text, meaning in plain.items()}, is_plain=True)
    upper = {word.upper(): meaning for word, meaning in _PLAIN_TRUTH.items()}
    known = read_words(column, {**words, **upper})
    return CellWords(known, is_plain=False) if known else None


def add_opposite(values: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Where all texts of a column mean the same, add the word that means the opposite."""
    result = dict(values)
    if len(set(values.values())) != 1:
        return result
    text = next(iter(values))
    for first, second in _OPPOSITES:
        for here, other in ((first, second), (second, first)):
            if text.upper() == here and other in words and words[other] != values[text]:
                result[_copy_case(other, text)] = words[other]
                return result
    return result


def _copy_case(word: str, model: str) -> str:
    if model.isupper():
        return word
    return word.lower() if model.islower() else word.capitalize()
