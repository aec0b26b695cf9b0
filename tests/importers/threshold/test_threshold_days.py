"""Threshold lists of several days: their shapes, their dates, and what a record gets from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain.clock_facts import ThresholdDay
from finops_cli.domain.finding import Damage
from finops_cli.importers.threshold.days import ThresholdLists
from finops_cli.importers.threshold.list_dates import day_in_name
from finops_cli.importers.threshold.lists import ThresholdList, read_lists
from tests.importers.sec.test_sec_fails import AMC, GME, import_sec, records, row, write

NASDAQ = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Rule 3210|Filler"
NYSE = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Filler|Filler"
FINRA = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Rule 4320"
OCC = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Flag2|"
CBOE = "Symbol|CompanyName"
QUERY = (
    "tradeDate,issueSymbolIdentifier,issueName,marketClassCode,thresholdListFlag,"
    "marketCategoryDescription,regShoThresholdFlag,rule4320Flag"
)


def write_list(folder: Path, name: str, *rows: str, header: str = NASDAQ) -> Path:
    return write(folder, *rows, name=name, header=header, end="\r\n")


def read(*paths: Path, list_date: str | None = None) -> ThresholdLists:
    lists = ThresholdLists(list_date)
    assert list(lists.read(paths)) == []
    return lists


def flags_in(path: Path) -> list[tuple[str, bool]]:
    """The symbols and flags of the one list of a file without damage."""
    [found] = read_lists(path)
    assert isinstance(found, ThresholdList)
    return [(row.symbol, row.threshold) for row in found.rows]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (NASDAQ, ["AMC|A NAME|N|Y|N|", "GME|A|B|N|N|N|", "X|C|Q|y|N||", "20230314210501"]),
        (NYSE, ["AMC|A NAME|N|Y|", "GME|A|B|N|N||", "X|C|Q|Y|||", "20230314|"]),
        (FINRA, ["AMC|A NAME|u|N|Y", "GME|A|B|u|N|N", "X|C|u|Y|N", "2023-03-14 23:00:17"]),
        (OCC, ["AMC|A NAME|N|Y|N|", "GME|A|B|N|N|N|", "X|C|Q|Y|N|", "0000003"]),
    ],
    ids=["nasdaq", "nyse", "finra", "occ"],
)
def test_threshold_list_of_each_market_is_read(
    tmp_path: Path, header: str, rows: list[str]
) -> None:
    """The lists of the markets differ in their last columns, in bars and in the closing line."""
    path = write_list(tmp_path, "list.txt", *rows, header=header)
    assert flags_in(path) == [("AMC", True), ("GME", False), ("X", True)]


def test_threshold_list_of_cboe_lists_each_symbol(tmp_path: Path) -> None:
    """In a list of Cboe every symbol is a threshold security."""
    path = write_list(tmp_path, "list.txt", "AMC|A", "BRK/B|B|C", header=CBOE)
    assert flags_in(path) == [("AMC", True), ("BRK/B", True)]


def test_threshold_query_of_finra_has_dates_in_rows(tmp_path: Path) -> None:
    """The date of a row decides, and not the date on which the file was fetched."""
    path = write_list(
        tmp_path,
        "threshold_20230401.csv",
        '2023-03-13,AMC,"A, B INC",u,Y,OTC,Y,N',
        "2023-03-14,AMC,A,u,Y,OTC,N,Y",
        "2023-03-14,GME,A,u,N,OTC,N,N",
        header=QUERY,
    )
    lists = read(path)
    assert lists.days == ["2023-03-13", "2023-03-14"]
    assert lists.days_of("AMC") == (
        ThresholdDay("2023-03-13", True),
        ThresholdDay("2023-03-14", True),
    )
    assert lists.days_of("GME")[1] == ThresholdDay("2023-03-14", False)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("nasdaqth20230314.txt", "2023-03-14"),
        ("NYSE_Threshold_2023-03-14.txt", "2023-03-14"),
        ("20230314-and-again-20230314.txt", "2023-03-14"),
        ("threshold-list.txt", None),
        ("20230314210501.txt", None),
        ("list-12345678.txt", None),
    ],
)
def test_day_in_name_is_found(name: str, day: str | None) -> None:
    """The date of a list is the one date in the name of its file."""
    assert day_in_name(name) == day


def test_threshold_days_say_listed_and_not_listed(tmp_path: Path) -> None:
    """A record gets the days of the lists up to its own day. A symbol that one list names and
    another does not is off the list on that day.
    """
    lists = [
        write_list(tmp_path, "nasdaqth20230301.txt", "AMC|A|N|Y|N|", "X|A|N|Y|N|"),
        write_list(tmp_path, "nasdaqth20230303.txt", "X|A|N|Y|N|", "20230303210501"),
        write_list(tmp_path, "nasdaqth20230302.txt", "AMC|A|N|Y|N|"),
    ]
    fails = write(
        tmp_path, *(row(f"2023030{day}", AMC, symbol="AMC") for day in "123"), row("20230303", GME)
    )
    found = records(import_lists(fails, lists, "--every-day"))
    assert [record["clock_facts"].get("threshold_days") for record in found] == [
        [{"date": "2023-03-01", "listed": True}],
        [{"date": "2023-03-01", "listed": True}, {"date": "2023-03-02", "listed": True}],
        [
            {"date": "2023-03-01", "listed": True},
            {"date": "2023-03-02", "listed": True},
            {"date": "2023-03-03", "listed": False},
        ],
        None,
    ]
    assert [record["reg_sho_threshold"] for record in found] == [True, True, False, False]
    assert ["reg_sho_threshold" in record["origin"]["assumed"] for record in found] == [
        *(False, False, False),
        True,
    ]


def import_lists(fails: Path, lists: list[Path], *more: str) -> Any:
    return import_sec(
        fails, *(part for path in lists for part in ("--threshold-list", path)), *more
    )


def test_threshold_flag_before_first_list_is_assumed(tmp_path: Path) -> None:
    """A list says nothing about the days before it: the flag is then an assumption."""
    path = write_list(tmp_path, "nasdaqth20230302.txt", "AMC|A|N|Y|N|")
    [record] = records(import_lists(write(tmp_path, row("20230301", AMC, symbol="AMC")), [path]))
    assert record["reg_sho_threshold"] is False
    assert "reg_sho_threshold" in record["origin"]["assumed"]
    assert "threshold_days" not in record["clock_facts"]


def test_threshold_list_without_rows_is_a_day(tmp_path: Path) -> None:
    """A list with a header and a closing line is a day on which nothing is listed."""
    lists = read(
        write_list(tmp_path, "nasdaqth20230301.txt", "AMC|A|N|Y|N|"),
        write_list(tmp_path, "nasdaqth20230302.txt", "20230302210501"),
    )
    assert lists.state_of("AMC", "2023-03-01").listed is True
    assert lists.state_of("AMC", "2023-03-02").listed is False
    assert lists.state_of("AMC", "2023-02-28").listed is None
    assert lists.state_of("GME", "2023-03-02").listed is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a20230301.txt", "b.txt"], "b.txt has no date, neither in its last line nor in its name"),
        (
            ["b.txt"],
            "b.txt has no date, neither in its last line nor in its name; accepted: a name",
        ),
        (["a20230230.txt"], "20230230 in the name is not a day; accepted: a name with one date"),
        (["a20230301-20230302.txt"], "the name has 2 dates; accepted: a name with one date"),
    ],
)
def test_threshold_lists_of_unclear_days_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    """Each list has one date."""
    fails = write(tmp_path, row("20230301"))
    lists = [write_list(tmp_path, name, "AMC|A|N|Y|N|") for name in names]
    result = import_lists(fails, lists)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "\nfix: " in result.stderr


def test_threshold_list_bad_rows_of_other_shapes_are_damage(tmp_path: Path) -> None:
    """A row without a flag, a symbol or a date is reported by line, in each shape."""
    query = write_list(tmp_path, "a.csv", "2023-3-14,AMC,A,u,Y,OTC,Y,N", "short", header=QUERY)
    cboe = write_list(tmp_path, "b.txt", "AMC", "|A", " . |A", header=CBOE)
    messages = [
        entry.problems[0].message
        for path in (query, cboe)
        for entry in read_lists(path)
        if isinstance(entry, Damage)
    ]
    assert [message.split(";")[0] for message in messages] == [
        'tradeDate is "2023-3-14"',
        'row is "short"',
        'row is "AMC"',
        'Symbol is ""',
        'Symbol is "."',
    ]
