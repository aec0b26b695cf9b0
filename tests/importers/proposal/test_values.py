"""Values of a file and what they prove: decimal mark, dates, identifiers, words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from finops_cli.importers.mapped_rows.number_text import US_MARKS as US
from finops_cli.importers.mapped_rows.number_text import Marks
from finops_cli.importers.proposal.values.cell_words import add_opposite
from finops_cli.importers.proposal.values.date_formats import find_formats
from finops_cli.importers.proposal.values.decimal_marks import (
    choose_marks,
    prove,
    read_number,
)
from finops_cli.importers.proposal.values.identifiers import is_isin, read_dtc, read_security
from finops_cli.kb.rulebook import KnowledgeBase

EUROPE = Marks(",", ".")
MARKS = {
    ("1,234.56",): US,
    ("12.5", "12,000"): US,
    ("(6,720.00)", "12.000"): US,
    ("1.234,56",): EUROPE,
    ("1.234.567",): EUROPE,
    ("12,5", "12.000"): EUROPE,
    ("0,04",): Marks(",", ""),
    ("0,125",): Marks(",", ""),
    ("1 234,56",): Marks(",", " "),
    ("1'234.56",): Marks(".", "'"),
    ("12.000",): None,
    ("12,000",): None,
    ("12.5", "12,5"): None,
    ("100", "7"): None,
    ("13.11.2026", "1.2.3"): None,
    ("1,23,456",): None,
}


@pytest.mark.parametrize("texts", MARKS)
def test_marks_are_chosen_only_where_a_cell_proves_them(texts: tuple[str, ...]) -> None:
    """A mark is decimal when a cell cannot be read otherwise; disagreement decides nothing."""
    assert choose_marks(prove(texts)) == MARKS[texts]


NUMBERS = {
    "(6,720.00)": "-6720",
    "6720-": "-6720",
    "$2.1M": "2100000",
    "$1,880,875": "1880875",
    "12.5%": "12.5",
    "USD 5,000": "5000",
    "-5": "-5",
    ".5": "0.5",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_number_with_sign_and_unit_is_read(text: str) -> None:
    """Parentheses and a minus on either side make a number negative; K, M and B are its scale."""
    assert read_number(text, US) == Decimal(NUMBERS[text])


@pytest.mark.parametrize("text", ["", "-", "n/a", "12-11-2026", "AAPL", "1e5"])
def test_text_that_is_no_number_is_none(text: str) -> None:
    """A date, a word and an exponent are not numbers."""
    assert read_number(text, US) is None


DATES = {
    ("11/13/2026", "11/02/2026"): ("%m/%d/%Y",),
    ("13/11/2026", "02/11/2026"): ("%d/%m/%Y",),
    ("11/12/2026",): ("%d/%m/%Y", "%m/%d/%Y"),
    ("13.11.2026",): ("%d.%m.%Y",),
    ("25-Nov-2026", "1-Dec-2026"): ("%d-%b-%Y",),
    ("11/13/26",): ("%m/%d/%y",),
    ("Nov 25, 2026",): ("%b %d, %Y",),
    ("2026-11-13", "20261113"): (),
}


@pytest.mark.parametrize("texts", DATES)
def test_date_format_is_found_only_where_one_reads_all(
    texts: tuple[str, ...], kb: KnowledgeBase
) -> None:
    """The formats that read every date; two where nothing separates day and month."""
    found = find_formats(texts, kb.imports.date_formats)
    assert found.formats == DATES[texts]
    assert found.is_date


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (("46337", "46338"), "days as Excel counts"),
        (("11/13/2026", "soon"), "no date format reads 'soon'"),
    ],
)
def test_column_without_a_format_says_why(
    texts: tuple[str, ...], part: str, kb: KnowledgeBase
) -> None:
    """Day numbers of a spreadsheet and words among dates are named."""
    found = find_formats(texts, kb.imports.date_formats)
    assert not found.is_date
    assert part in found.fault


DAYS = tuple(f"11/{day}/2026" for day in range(13, 28))


@pytest.mark.parametrize("text", ["02/30/2026", "T+1", "01/01/1900", "12-Nov-26"])
def test_cell_that_is_no_date_leaves_the_format(text: str, kb: KnowledgeBase) -> None:
    """One cell in many that the format does not read is named; the format stays."""
    found = find_formats((*DAYS, text), kb.imports.date_formats)
    assert (found.formats, found.unread) == (("%m/%d/%Y",), (text,))
    iso = find_formats((*(["2026-11-13"] * 9), text), kb.imports.date_formats)
    assert (iso.is_iso, iso.unread) == (True, (text,))


def test_cell_that_is_no_date_decides_no_order(kb: KnowledgeBase) -> None:
    """Where another format reads half of the cells too, nearly all is not enough."""
    both = [f"{day:02}/11/2026" for day in range(1, 13)]
    found = find_formats((*both, "13/11/2026", "11/13/2026"), kb.imports.date_formats)
    assert not found.is_date


SECURITIES = {
    "037833100": ("037833100", ()),
    '="037833100"': ("037833100", ("formula_text",)),
    "'037833100": ("037833100", ("apostrophe",)),
    "037833-10-0": ("037833100", ("hyphens",)),
    "37833100": ("037833100", ("leading_zero",)),
    "59491810": ("594918104", ("check_digit",)),
    "US0378331005": ("037833100", ("us_isin",)),
    "US0378331006": None,
    "DE0007164600": None,
    "594918105": None,
    "8.88E+08": None,
    "352": None,
    "": None,
}


@pytest.mark.parametrize("text", SECURITIES)
def test_security_is_read_with_the_repairs_it_needs(text: str) -> None:
    """A CUSIP follows from its check digit, by repairs that have names."""
    found = read_security(text)
    assert (found and (found.cusip, found.repairs)) == SECURITIES[text]


def test_eight_digits_may_lack_their_check_digit_instead() -> None:
    """Where a file gives eight characters of each CUSIP, its digits have not lost a zero."""
    found = read_security("37833100", {"leading_zero"})
    assert found is not None
    assert found.repairs == ("check_digit",)


def test_isin_of_another_country_has_its_check_digit() -> None:
    """An ISIN is known by its check digit, whatever its country."""
    assert is_isin("DE0007164600")
    assert not is_isin("DE0007164601")


DTC = {
    "352": "DTC-0352",
    "0352": "DTC-0352",
    "DTC0352": "DTC-0352",
    "dtc-352": "DTC-0352",
    "DTC-0352": "DTC-0352",
    "12345": None,
    "Pershing": None,
    "": None,
    "0": None,
}


@pytest.mark.parametrize("text", DTC)
def test_dtc_number_has_up_to_four_digits(text: str) -> None:
    """A number of five digits is an account or another number of the house, zero is not one."""
    assert read_dtc(text) == DTC[text]


OPPOSITES = {
    ("S",): {"S": "Sell", "B": "Buy"},
    ("sell",): {"sell": "Sell", "buy": "Buy"},
    ("B", "S"): {"B": "Buy", "S": "Sell"},
    ("DVP",): {"DVP": "Sell", "RVP": "Buy"},
}


@pytest.mark.parametrize("texts", OPPOSITES)
def test_word_brings_its_opposite_in_the_same_case(
    texts: tuple[str, ...], kb: KnowledgeBase
) -> None:
    """A sample of sales alone still reads the purchase of a later row."""
    words = kb.imports.side_cells
    values = {text: words[text.upper()] for text in texts}
    assert add_opposite(values, words) == OPPOSITES[texts]
