"""Numbers in a text: how they are read, and which known numbers support them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.money import render_usd
from finops_cli.verify.quoted_numbers import known_numbers, read_numbers, unsupported_numbers

PHRASES = frozenset(
    (
        "Rule 203",
        "Rule 204",
        "17 CFR 242.204",
        "15-day rate",
        "T+0",
        "T+1",
        "L1",
        "L2",
        "L3",
        "L4",
        "B2B",
    )
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12,000 shares, 12000sh, 12\u202f000 shares", [12000, 12000, 12000]),
        (
            "$2.1M, $450K, $1.25 million, 5k shares, 3bn, 5mm",
            [2_100_000, 450_000, 1_250_000, 5_000, 3 * 10**9, 5_000_000],
        ),
        ("3.5%, 40.5 %, .65, 1.5x", ["3.5", "40.5", "0.65", "1.5"]),
        ("T+13, 7d, 13+, 7-day", [13, 7, 13, 7]),
        ("position -5000, -$5,000, \u22125000, (5000)", [-5000, -5000, -5000, 5000]),
        ("10\u201312 days, 32000-12000=20000, 9 -1", [10, 12, 32000, 12000, 20000, 9, 1]),
        ("60x0.30, 69.5 x1.2, USD5000", [60, "0.30", "69.5", "1.2", 5000]),
        ("12,00 and 1,2,3", [12, "~00", 1, 2, 3]),
        ("02,000 shares, $07", ["~02,000 shares", "~$07"]),
        ("DTC-0161, DTC 4321, dtc-0161", ["~0161", "~4321", "~0161"]),
        (
            "594918104, 037833100, 12345A106, G12345106",
            [594918104, "~037833100", "~12345A106", "~G12345106"],
        ),
        ("L3, S1, F-1001", ["~L3", "~S1", 1001]),
        ("1e6, 2.5E+3, 9e99", [1_000_000, 2_500, 9 * 10**99]),
        ("\u2078 days, \u2467, 7\u200b7, \uff17 days", ["~\u2078", "~\u2467", 77, 7]),
        ("no number at all, five thousand", []),
    ],
)
def test_number_with_suffix_or_separator_is_read_exactly(
    text: str, values: list[int | str]
) -> None:
    """A number in a text is read exactly, with its suffix multiplied out. Digits inside a name
    (here after ~) are read as that name.
    """
    expected = [
        value[1:] if str(value).startswith("~") and isinstance(value, str) else Decimal(value)
        for value in values
    ]
    assert [figure.value for figure in read_numbers(text)] == expected


@given(st.decimals(min_value=0, max_value=10**12, places=2))
def test_rendered_amount_is_read_back_unchanged(amount: Decimal) -> None:
    """Any amount that `render_usd` writes is read back as the same number."""
    assert [figure.value for figure in read_numbers(f"worth {render_usd(amount)}.")] == [amount]


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=4),
    st.integers(0, 3),
    st.sampled_from([-1, 1]),
)
def test_known_number_supports_only_half_up_rounding(
    number: Decimal, decimals: int, off: int
) -> None:
    """A known number supports its half-up rounding to fewer decimals, and does not support the
    neighbours of that value.
    """
    unit = Decimal(1).scaleb(-decimals)
    rounded = number.quantize(unit, ROUND_HALF_UP)
    assert bool(unsupported_numbers(f"is {rounded} points", known_numbers(number))) is (
        bool(number) and not rounded
    )  # nothing rounds to 0
    wrong = rounded + off * unit
    if wrong and (wrong > 0) == (number > 0):
        assert unsupported_numbers(f"is {wrong} points", known_numbers(number))


@pytest.mark.parametrize(
    ("text", "of", "unknown"),
    [
        ("88.3 points", Decimal("88.25"), []),
        ("88.2 points", Decimal("88.25"), ["88.2"]),
        ("33.3%", Decimal("33.3333"), []),
        ("$2.1M", Decimal(2_149_000), []),
        ("$2.2M", Decimal(2_149_000), ["$2.2M"]),
        ("12,000 shares", 12_345, ["12,000 shares"]),
        ("12k shares", 12_345, []),
        ("aged 34 days", Decimal("33.6"), ["34 days"]),
        ("short 5,000", -5_000, []),
        ("short -5,000", 5_000, ["5,000"]),
        ("161 shares", "DTC-0161", ["161 shares"]),
        ("with DTC-0161", "DTC-0161", []),
        ("with DTC-0162", "DTC-0161", ["DTC-0162"]),
        ("counterparty 4321", "DTC-4321", []),
        ("in 037833100", "037833100", []),
        ("in 037833101", "037833100", ["037833101"]),
    ],
)
def test_known_number_supports_amounts_days_and_names(
    text: str, of: object, unknown: list[str]
) -> None:
    """A number in a text may round a known number half up. Days and shares must match exactly,
    amounts may have either sign, and names must be identical.
    """
    assert [figure.text for figure in unsupported_numbers(text, known_numbers([of]))] == unknown


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Rule 204 and rule 203(b)(3), 17 CFR 242.204(a)(1): 15-day rate, 15 day rate", []),
        ("1. Chase. 2. Borrow by T+1; see step 2 and steps 1-3", []),
        ("(1) chase, (2) borrow, escalate to L3; L1-L2, 15\u2011day rate, B2B shares", []),
        ("204 shares", ["204 shares"]),
        ("T+12 and T+1.5", ["12", "1.5"]),
        ("115-day rate, L9, $15-day rate", ["115-day", "L9", "$15-day"]),
        ("aged (99) days, modifier 1.1. Next", ["99", "1.1"]),
        ("2. Borrow\n 3) Recall", []),
        ("Plan: 1. Chase. 2. Recall.  3. Borrow: 1) call, 2) write", []),
        ("Age: 8. Value high", ["8"]),
        ("Days aged: 8. Escalate", ["8"]),
        ("days aged, 8. So", ["8"]),
        ("Age: 1. Value: 2. High", ["1", "2"]),
        ("Chase. 2. Borrow. 3. Recall", ["2", "3"]),
        ("aged eight (8) days", ["8"]),
        ("aged (1) day, then (2) days", ["1", "2"]),
        ("a 15-day old fail, it is 15 day late", ["15-day", "15 day"]),
        ("Rule 204 days, Rule 204-share, Rule 204%", ["204 days", "204-share", "204%"]),
        ("in steps 1 and 8 days", ["8 days"]),
        ("aged \u2078 days, \u2467 days, \u00bd", ["\u2078", "\u2467", "\u00bd"]),
    ],
)
def test_trade_phrases_and_step_numbers_need_no_support(text: str, unknown: list[str]) -> None:
    """Accepted phrases such as "Rule 204", step numbers and enumerations need no support. A number
    that only resembles them does.
    """
    assert [
        figure.text for figure in unsupported_numbers(text, known_numbers(), PHRASES)
    ] == unknown


@pytest.mark.parametrize(
    ("text", "known_ones", "unknown"),
    [
        (
            "32 000 and 12'000 shares, $1\u2019250\u2019000, 1e6",
            (32_000, 12_000, 1_250_000, 10**6),
            [],
        ),
        ("33 000 shares", (32_000,), ["33", "000 shares"]),
        (
            "0 shares, 0d, 0-day, 0%, 0 percent, $0, $0M, T+0",
            (0,),
            ["0 shares", "0d", "0-day", "0%", "0 percent", "$0", "$0M", "0"],
        ),
        ("factor 0", (0,), []),
        ("factor 0", (Decimal("0.4"),), ["0"]),
        (
            "$594,918,104, $595M, 594918104 shares",
            ("594918104",),
            ["$594,918,104", "$595M", "594918104 shares"],
        ),
        ("in 594918104, not in 594918105", ("594918104",), ["594918105"]),
        ("$4321 with DTC 4321", ("DTC-4321",), ["$4321"]),
    ],
)
def test_zero_name_and_grouped_digits_are_distinguished(
    text: str, known_ones: tuple[object, ...], unknown: list[str]
) -> None:
    """A plain 0 does not support 0 days, shares, percent or dollars, a name is not a number, and a
    blank may group digits.
    """
    assert [
        figure.text for figure in unsupported_numbers(text, known_numbers(known_ones))
    ] == unknown
