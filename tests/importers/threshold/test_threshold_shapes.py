"""Rows and last lines of threshold lists: where the flag stands, and the date of a list."""

from __future__ import annotations

import pytest

from finops_cli.importers.threshold.closing_lines import Closing, read_closing
from finops_cli.importers.threshold.shapes import Listed, choose_shape, find_header
from tests.importers.threshold.test_threshold_days import CBOE, FINRA, NASDAQ, NYSE, OCC, QUERY

UNCLEAR = None


@pytest.mark.parametrize(
    ("header", "row", "threshold"),
    [
        (NASDAQ, "AMC|A NAME|N|Y|N|", True),
        (NASDAQ, "AMC|A NAME|N|N|Y|", False),
        (NASDAQ, "AMC|A NAME|N|N|Y", False),
        (NASDAQ, "AMC|A NAME|N|y", True),
        (NASDAQ, "AMC|A|B|N|N|Y|", False),
        (NASDAQ, "AMC|A|B|N|Y|N|", True),
        (NASDAQ, "AMC|A|B|N|Y|N||||", True),
        (NASDAQ, "AMC|A NAME|N|N|Y||", UNCLEAR),
        (NASDAQ, "AMC|A NAME|N||N|", UNCLEAR),
        (NASDAQ, "AMC|A NAME|N|?|N|", UNCLEAR),
        (NYSE, "AMC|A NAME|N|Y||", True),
        (NYSE, "AMC|A NAME|N|Y", True),
        (NYSE, "AMC|A NAME|N|Y|N|", True),
        (NYSE, "AMC|A|B|N|Y||", True),
        (NYSE, "AMC|A|B|N|Y|||", True),
        (NYSE, "AMC|A|B|N|N||", False),
        (NYSE, "AMC|A NAME||n|", False),
        (FINRA, "AMC|A NAME|u|N|Y", True),
        (FINRA, "AMC|A NAME|u|N|N|", False),
        (FINRA, "AMC|A NAME|u|N", False),
        (FINRA, "AMC|A NAME|u|Y|N", True),
        (FINRA, "AMC|A|B|u|N|Y", True),
        (OCC, "AMC|A NAME|N|Y|N|", True),
        (OCC, "AMC|A NAME|N|N|", False),
        (CBOE, "AMC|A NAME", True),
        (CBOE, "AMC|A|B|", True),
        (CBOE, "AMC|A NAME|N|N||", UNCLEAR),
        (QUERY, "2023-03-14,AMC,A,u,Y,OTC,n,y", True),
        (QUERY, "2023-03-14,AMC,A,u,Y,OTC,N,N", False),
        (QUERY, '"20230314","AMC","A, B","u","Y","OTC","Y","N",,', True),
    ],
)
def test_row_of_each_house_has_its_flag(header: str, row: str, threshold: bool | None) -> None:
    """More or fewer bars than the header, and bars in a name, do not move the flag. A row that can
    be read in two ways, or in none, is reported.
    """
    shape = choose_shape(header)
    assert shape is not None
    entry = shape.read_row(row)
    assert (entry.threshold if isinstance(entry, Listed) else UNCLEAR) is threshold


@pytest.mark.parametrize(
    ("header", "house"),
    [
        (NASDAQ, "Nasdaq"),
        (NYSE, "NYSE"),
        (FINRA, "FINRA"),
        (OCC, "OCC"),
        (CBOE, "Cboe"),
        (QUERY, "FINRA"),
        (NASDAQ.upper(), "Nasdaq"),
        (NYSE.removesuffix("|Filler|Filler"), "NYSE"),
        ('"tradeDate",' + ",".join(f'"{name}"' for name in QUERY.split(",")[1:]), "FINRA"),
        ("Symbol|Security Name|ETF", None),
        ("Symbol,CompanyName", None),
        ("", None),
    ],
)
def test_header_names_the_house_of_a_list(header: str, house: str | None) -> None:
    """The columns behind the flag tell the houses apart."""
    shape = choose_shape(header)
    assert (None if shape is None else shape.house) == house


def test_header_is_found_inside_a_line() -> None:
    """Joined files may lack the line end before a header; a security name is not a header."""
    for header in (NASDAQ, NYSE, FINRA, OCC, CBOE, QUERY):
        assert find_header(header) == 0
        assert find_header("20230314210501" + header) == 14
    assert find_header("SYM|Symbol Technologies|Q|Y|N|") == -1


@pytest.mark.parametrize(
    ("line", "closing"),
    [
        ("20210128210501", Closing(date="2021-01-28")),
        ("20210128|", Closing(date="2021-01-28")),
        ("20210128210501|||||", Closing(date="2021-01-28")),
        (" 20210128 ", Closing(date="2021-01-28")),
        ("2021-01-28 23:00:17", Closing(date="2021-01-28")),
        ("2021-01-28", Closing(date="2021-01-28")),
        ("File Creation Date: 20210128230017", Closing(date="2021-01-28")),
        ("File Creation Time: 0128202123:00", Closing(date="2021-01-28")),
        ("File Creation Time: 01282021 23:00|||", Closing(date="2021-01-28")),
        ("file creation time:20210128", Closing(date="2021-01-28")),
        ("File Creation Time: noon", Closing()),
        ("20211328210501", Closing()),
        ("20210229", Closing()),
        ("2021012821050112345678", Closing()),
        ("0000001", Closing(rows=1)),
        ("0000000|", Closing(rows=0)),
        ("00000312", Closing(rows=312)),
        ("17", Closing(rows=17)),
        ("2023031", Closing()),
        ("AMC|A NAME|N|Y|N|", None),
        ("1234|NUMBER CO", None),
        ("", None),
        ("Trailer", None),
    ],
)
def test_closing_line_states_a_date_or_a_count(line: str, closing: Closing | None) -> None:
    """The last lines of the houses state when a list was made, or how many rows it has."""
    assert read_closing(line) == closing
