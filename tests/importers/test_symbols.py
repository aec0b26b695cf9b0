"""The comparison of symbols, by which threshold lists, history and events find a security."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.importers.symbols import SEPARATORS, compare_form


@pytest.mark.parametrize(
    ("symbol", "form"),
    [
        ("BRKB", "BRKB"),
        ("BRK.B", "BRKB"),
        ("BRK/B", "BRKB"),
        ("BRK-B", "BRKB"),
        ("BRK B", "BRKB"),
        (" BRK  B ", "BRKB"),
        ("BRK\u00a0B", "BRKB"),
        ("AJAX WS", "AJAXWS"),
        ("AJAX/WS", "AJAXWS"),
        ("AJAX.WS", "AJAXWS"),
        ("ABC.PR.A", "ABCPRA"),
        ("ABCpA", "ABCpA"),
        ("ABCp", "ABCp"),
        ("ABCP", "ABCP"),
        ("AJAX+", "AJAX+"),
        ("AJAX=", "AJAX="),
        ("AJAX^", "AJAX^"),
        ("ZVZZT*", "ZVZZT*"),
        ("A", "A"),
        ("", ""),
        (" . ", ""),
    ],
)
def test_symbol_of_each_house_has_its_form(symbol: str, form: str) -> None:
    """Separators go. Case and the signs of warrants, rights and units stay."""
    assert compare_form(symbol) == form


@given(st.text(st.sampled_from("ABp+" + SEPARATORS + " \t"), max_size=8))
def test_symbol_form_is_stable_and_keeps_the_rest(symbol: str) -> None:
    """A form is its own form, and holds each sign that is not a separator, in order."""
    form = compare_form(symbol)
    assert compare_form(form) == form
    assert form == "".join(sign for sign in symbol if sign in "ABp+")
