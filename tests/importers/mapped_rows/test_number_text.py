"""Numbers of files: each form under each mark, and what could be a thousand times larger."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.importers.mapped_rows.comma_evidence import (
    Sighting,
    find_contradiction,
    is_in_doubt,
)
from finops_cli.importers.mapped_rows.number_text import (
    US_MARKS,
    Marks,
    Number,
    NumberFault,
    parse_number,
)

EUROPE, SWISS, FRANCE, BARE = Marks(",", "."), Marks(".", "'"), Marks(",", " "), Marks(".", "")
ALL_MARKS = (US_MARKS, EUROPE, SWISS, FRANCE, BARE, Marks(".", " "), Marks(",", ""))
FIX_EUROPE = 'write numbers: {decimal: ",", grouping: "."} in the mapping'


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("5000", "5000", ""),
        ("0", "0", ""),
        ("007", "7", ""),
        ("5,000", "5000", ""),
        ("12,000", "12000", ""),
        ("1,234,567", "1234567", ""),
        ("1,234.567", "1234.567", ""),
        ("12.00", "12", ""),
        ("2.1", "2.1", ""),
        ("0.500", "0.500", ""),
        ("5000.000", "5000", ""),
        (".5", "0.5", ""),
        ("+5,000", "5000", ""),
        ("-5,000", "-5000", ""),
        ("\N{MINUS SIGN}5", "-5", ""),
        ("5,000-", "-5000", ""),
        ("(6,720.00)", "-6720", ""),
        ("( 5 )", "-5", ""),
        ("$2.1M", "2100000", "$M"),
        ("$2.125M", "2125000", "$M"),
        ("450k", "450000", "K"),
        ("$ 1,250,000", "1250000", "$"),
        ("-$5", "-5", "$"),
        ("$-5", "-5", "$"),
        ("$(5,000)", "-5000", "$"),
        ("($5,000)", "-5000", "$"),
        ("US$5", "5", "$"),
        ("USD 5,000.10", "5000.10", "$"),
        ("5,000.10 USD", "5000.10", "$"),
        ("0.5%", "0.5", "%"),
        ("0.5 %", "0.5", "%"),
        ("(4%)", "-4", "%"),
        ("\N{NO-BREAK SPACE}5\N{NO-BREAK SPACE}", "5", ""),
    ],
)
def test_number_without_marks_is_read_as_in_the_us(text: str, number: str, unit: str) -> None:
    """Rule: what has one meaning, or the meaning of the United States, needs no mapping."""
    assert parse_number(text, None) == Number(Decimal(number), unit)
    assert parse_number(text, US_MARKS) == Number(Decimal(number), unit)


@pytest.mark.parametrize(
    ("text", "why", "fix"),
    [
        (
            "12.000",
            "which is 12.000 or, where the full stop groups digits, 12000",
            'write numbers: {decimal: "."',
        ),
        ("2.100", "which is 2.100 or, where the full stop groups digits, 2100", "the mapping"),
        ("$12.000", "which is 12.000 or, where the full stop groups digits, 12000", "the mapping"),
        ("1.234.567", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("1.234,56", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("6,5", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("0,500", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("6720,000", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("1 234.5", "a number where '.' is decimal and ' ' groups digits", 'grouping: " "'),
        ("1 234,5", "a number where ',' is decimal and ' ' groups digits", 'grouping: " "'),
        ("1'234.5", "a number where '.' is decimal and \"'\" groups digits", 'grouping: "\'"'),
        ("8.88E+08", "in scientific notation, which may have lost digits", "format the column"),
        ("1E5", "in scientific notation, which may have lost digits", "format the column"),
        ("EUR 5,000", "an amount in EUR", "convert the amounts to US dollars"),
        ("5,000 GBP", "an amount in GBP", "convert"),
        ("€5", "an amount in EUR", "convert"),
        ("5,00,000", "", ""),
        ("1,23", "a number where ',' is decimal and '.' groups digits", FIX_EUROPE),
        ("5.", "", ""),
        ("", "", ""),
        ("-", "", ""),
        ("()", "", ""),
        ("ten", "", ""),
        ("5 000 00", "", ""),
        ("--5", "", ""),
        ("(-5)", "", ""),
        ("-5-", "", ""),
        ("$5$", "", ""),
        ("$5%", "", ""),
        ("5%%", "", ""),
        ("5KM", "", ""),
        ("#REF!", "", ""),
        ("#VALUE!", "", ""),
        ("1/2", "", ""),
        ("5 shares", "", ""),
        ("\N{ARABIC-INDIC DIGIT FIVE}", "", ""),
        ("NaN", "", ""),
        ("inf", "", ""),
        ("1_000", "", ""),
        ("1" * 31, "", ""),
    ],
)
def test_number_that_may_mean_another_one_is_refused(text: str, why: str, fix: str) -> None:
    """Rule: a text with two meanings, or none, is refused; the fault names the marks that fit."""
    with pytest.raises(NumberFault) as refused:
        parse_number(text, None)
    assert refused.value.why == why
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("text", "marks", "number"),
    [
        ("12.000", US_MARKS, "12"),
        ("12.000", EUROPE, "12000"),
        ("2.100,5", EUROPE, "2100.5"),
        ("6,5", EUROPE, "6.5"),
        ("12,000", EUROPE, "12"),
        ("(6.720,00)", EUROPE, "-6720"),
        ("6.720,00-", EUROPE, "-6720"),
        ("6.720,00 USD", EUROPE, "6720"),
        ("1'234.50", SWISS, "1234.5"),
        ("1\N{RIGHT SINGLE QUOTATION MARK}234", SWISS, "1234"),
        ("1\N{NARROW NO-BREAK SPACE}234,5", FRANCE, "1234.5"),
        ("1234.567", BARE, "1234.567"),
        ("12,000", US_MARKS, "12000"),
    ],
)
def test_number_with_marks_of_the_mapping_has_one_meaning(
    text: str, marks: Marks, number: str
) -> None:
    """Rule: the marks of the mapping decide, whatever the text looks like."""
    assert parse_number(text, marks).value == Decimal(number)


@pytest.mark.parametrize(
    ("text", "marks", "fix"),
    [
        ("1,234.5", EUROPE, 'decimal: ".", grouping: ","'),
        ("6.5", EUROPE, 'decimal: ".", grouping: ","'),
        ("6,5", US_MARKS, FIX_EUROPE),
        ("5,000", BARE, "grouping"),
        ("0.500", EUROPE, 'decimal: "."'),
    ],
)
def test_number_against_the_marks_of_the_mapping_is_refused(
    text: str, marks: Marks, fix: str
) -> None:
    """Rule: the marks are not changed for one cell; the fault names those that would read it."""
    with pytest.raises(NumberFault) as refused:
        parse_number(text, marks)
    assert fix in refused.value.fix


numbers = st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=4)


def write(number: Decimal, marks: Marks, grouped: bool, style: str) -> str:
    """Write a number as a file with `marks` does."""
    whole, _, fraction = f"{abs(number):,.4f}".partition(".")
    text = whole.replace(",", marks.grouping if grouped else "") + marks.decimal + fraction
    return style.format(text) if number < 0 else text


@given(
    numbers,
    st.sampled_from(ALL_MARKS),
    st.booleans(),
    st.sampled_from(("-{}", "{}-", "({})", "- {}", "\N{MINUS SIGN}{}")),
)
def test_number_is_read_back_under_the_marks_it_was_written_with(
    number: Decimal, marks: Marks, grouped: bool, style: str
) -> None:
    """Rule: reading inverts writing, for each mark and each form of a negative number."""
    assert parse_number(write(number, marks, grouped, style), marks).value == number


@given(numbers, st.sampled_from(ALL_MARKS), st.booleans())
def test_number_of_another_house_is_never_read_as_another_number(
    number: Decimal, marks: Marks, grouped: bool
) -> None:
    """Rule: without marks in the mapping, a number with decimals is read right or is refused."""
    try:
        read = parse_number(write(number, marks, grouped, "-{}"), None)
    except NumberFault:
        return
    assert read.value == number


@given(numbers, st.integers(0, 20), st.sampled_from("0123456789.,' x-()%"))
def test_damaged_number_is_never_read_where_its_marks_are_wrong(
    number: Decimal, place: int, sign: str
) -> None:
    """Rule: a mark at a place where no group ends is refused."""
    text = f"{abs(number):,.4f}"
    damaged = text[:place] + sign + text[place:]
    try:
        read = parse_number(damaged, US_MARKS).value
    except NumberFault:
        return
    bare = damaged.replace(",", "").strip("-()% ")
    assert read.copy_abs() == Decimal(bare)
    groups = damaged.strip("-()% ").partition(".")[0].split(",")
    assert len(groups) == 1 or all(len(group) == 3 for group in groups[1:])


@pytest.mark.parametrize(
    ("texts", "contradiction"),
    [
        (["12,000", "6,5"], "6,5"),
        (["6,5", "12,000", "2.1"], None),
        (["12,000", "1.234.567"], "1.234.567"),
        (["12,000", "1,234,567", "6,5"], None),
        (["12,000", "12.000", "450"], None),
        (["12,000", "ten", "8.88E+08", ""], None),
        (["1 234,5"], "1 234,5"),
        (["$2.1M", "6,5"], None),
    ],
)
def test_numbers_of_a_file_decide_about_its_comma(
    texts: list[str], contradiction: str | None
) -> None:
    """Rule: a decimal comma contradicts 12,000 unless another number shows groups of digits."""
    found = find_contradiction(Sighting(2, "Shares", text) for text in texts)
    assert (found and found.text) == contradiction


@pytest.mark.parametrize(
    ("text", "in_doubt"),
    [
        ("12,000", True),
        ("(12,000)", True),
        ("$1,000 ", True),
        ("1,234,567", False),
        ("1,234.5", False),
        ("0,500", False),
        ("12000", False),
        ("12,00", False),
    ],
)
def test_number_with_one_comma_and_three_digits_is_in_doubt(text: str, in_doubt: bool) -> None:
    """Rule: only a number that is also valid with a decimal comma is in doubt."""
    assert is_in_doubt(text) is in_doubt
