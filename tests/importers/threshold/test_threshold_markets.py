"""Threshold lists of several markets and days: united, equal, different, earlier and later."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_cli.errors import UsageError
from finops_cli.importers.stream import Note
from finops_cli.importers.threshold.days import ListState, ThresholdLists
from tests.importers.sec.test_sec_fails import AMC, GME, MSFT, import_sec, records, row, write
from tests.importers.threshold.test_threshold_days import (
    CBOE,
    FINRA,
    NASDAQ,
    NYSE,
    OCC,
    QUERY,
    import_lists,
    read,
    write_list,
)

D1, D2, D3 = "2023-03-01", "2023-03-02", "2023-03-03"


def notes_of(*paths: Path) -> list[str]:
    return [note.text for note in ThresholdLists().read(paths) if isinstance(note, Note)]


def test_lists_of_one_day_are_united(tmp_path: Path) -> None:
    """A security is listed if one of the markets lists it, however the lists are ordered."""
    paths = [
        write_list(tmp_path, "a.txt", "AMC|A|Q|Y|N|", "20230301210501"),
        write_list(tmp_path, "b.txt", "GME|A|N|Y||", "2023-03-01 23:00:17", header=NYSE),
        write_list(tmp_path, "c20230301.txt", "BRK/B|A", header=CBOE),
        write_list(tmp_path, "d.txt", "WMWWF|A|u|N|Y", "20230301|", header=FINRA),
    ]
    for order in itertools.permutations(paths):
        lists = read(*order)
        assert lists.days == [D1]
        for symbol in ("AMC", "GME", "BRK.B", "BRKB", "WMWWF"):
            assert lists.state_of(symbol, D1).listed is True


def test_day_without_a_list_takes_the_latest_earlier_one(tmp_path: Path) -> None:
    """A record takes the lists of its day, else the latest earlier one, never a later one."""
    lists = read(
        write_list(tmp_path, "a20230301.txt", "AMC|A|Q|Y|N|"),
        write_list(tmp_path, "a20230303.txt", "GME|A|Q|Y|N|"),
    )
    assert lists.state_of("AMC", D1) == ListState(True, D1, False, "AMC")
    assert lists.state_of("AMC", D2) == ListState(True, D1, True, "AMC")
    assert lists.state_of("AMC", D3) == ListState(False, D3, False, "AMC")
    assert lists.state_of("GME", D2) == ListState(False, D1, True, "GME")
    assert lists.state_of("GME", "2023-02-28") == ListState(None)
    assert lists.state_of("X", D3) == ListState(None)


def test_earlier_list_of_one_market_is_assumed(tmp_path: Path) -> None:
    """A list of another market does not take a security off the list of its own."""
    lists = read(
        write_list(tmp_path, "a20230301.txt", "AMC|A|N|Y||", header=NYSE),
        write_list(tmp_path, "b20230302.txt", "GME|A|Q|Y|N|"),
    )
    assert lists.state_of("AMC", D2) == ListState(True, D1, True, "AMC")
    assert lists.state_of("GME", D1) == ListState(None)


def test_record_names_assumed_days_of_another_market(tmp_path: Path) -> None:
    """A day of `threshold_days` that has only lists of other markets is named as assumed."""
    lists = [
        write_list(tmp_path, "a20230301.txt", "AMC|A|N|Y||", header=NYSE),
        write_list(tmp_path, "b20230302.txt", "GME|A|Q|Y|N|"),
        write_list(tmp_path, "a20230303.txt", "AMC|A|N|Y||", header=NYSE),
    ]
    fails = write(tmp_path, *(row(f"2023030{day}", AMC, symbol="AMC") for day in "123"))
    found = records(import_lists(fails, lists, "--every-day"))
    assert [len(record["clock_facts"]["threshold_days"]) for record in found] == [1, 2, 3]
    assumed = [set(record["origin"]["assumed"]) for record in found]
    assert ["reg_sho_threshold" in each for each in assumed] == [False, True, False]
    assert ["clock_facts.threshold_days" in each for each in assumed] == [False, True, True]


def test_list_of_all_markets_replaces_earlier_lists(tmp_path: Path) -> None:
    """The list of OCC is of all markets: a security that it lacks is off the list."""
    lists = read(
        write_list(tmp_path, "a20230301.txt", "AMC|A|N|Y||", header=NYSE),
        write_list(tmp_path, "b20230302.txt", "GME|A|Q|Y|N|", header=OCC),
    )
    assert lists.state_of("AMC", D2) == ListState(False, D2, False, "AMC")


def test_lists_of_nyse_are_one_for_each_market(tmp_path: Path) -> None:
    """NYSE publishes a list for each of its markets, which the category in the rows tells apart.
    An empty list says that none of them lists a security any more.
    """
    lists = read(
        write_list(tmp_path, "n20230301.txt", "AMC|A|N|Y||", header=NYSE),
        write_list(tmp_path, "p20230301.txt", "SPY|A|P|Y||", header=NYSE),
        write_list(tmp_path, "a20230301.txt", header=NYSE),
        write_list(tmp_path, "n20230302.txt", "GME|A|N|Y||", header=NYSE),
        write_list(tmp_path, "n20230303.txt", "20230303|", header=NYSE),
    )
    assert lists.state_of("AMC", D1).listed is True
    assert lists.state_of("SPY", D1).listed is True
    assert lists.state_of("AMC", D2) == ListState(False, D2, False, "AMC")
    assert lists.state_of("SPY", D2) == ListState(True, D1, True, "SPY")
    assert lists.state_of("SPY", D3) == ListState(False, D3, False, "SPY")


@pytest.mark.parametrize(
    ("header", "first", "second", "message"),
    [
        (NASDAQ, ["AMC|A|Q|Y|N|"], ["AMC|A|Q|Y|N|", "GME|A|Q|Y|N|"], "Nasdaq of 2023-03-01"),
        (NASDAQ, ["AMC|A|Q|Y|N|"], ["AMC|A|Q|N|N|"], "only one of them has AMC"),
        (NASDAQ, ["AMC|A|Q|Y|N|"], [], "only one of them has AMC"),
        (NYSE, ["AMC|A|N|Y||"], ["GME|A|N|Y||"], "NYSE, market N of 2023-03-01"),
        (CBOE, ["AMC|A"], ["GME|A"], "only one of them has AMC, GME"),
        (OCC, ["AMC|A|N|Y|N|"], ["0000000"], "only one of them has AMC"),
        (QUERY, ["2023-03-01,A,A,u,Y,O,Y,N"], ["2023-03-01,B,A,u,Y,O,Y,N"], "pages of one query"),
    ],
)
def test_different_lists_of_a_day_and_market_are_refused(
    tmp_path: Path, header: str, first: list[str], second: list[str], message: str
) -> None:
    """Two lists of one market and day that differ cannot both be right: neither wins silently."""
    paths = [
        write_list(tmp_path, "a20230301.txt", *first, header=header),
        write_list(tmp_path, "b20230301.txt", *second, header=header),
    ]
    fails = write(tmp_path, row("20230301"))
    results = [import_lists(fails, order) for order in (paths, paths[::-1])]
    assert [(result.exit_code, result.stdout) for result in results] == [(2, ""), (2, "")]
    assert results[0].stderr == results[1].stderr
    assert message in results[0].stderr
    assert "\nfix: give the right one of the two" in results[0].stderr


def test_equal_lists_of_a_day_are_one(tmp_path: Path) -> None:
    """The same list in two files, or given twice, counts once; another writing is the same."""
    one = write_list(tmp_path, "a20230301.txt", "BRK.B|A|N|Y|N|", "X|A|Q|N|N|")
    two = write_list(tmp_path, "b.txt", "X|A|Q|N|N|", "BRK/B|B|N|y", "20230301210501")
    assert notes_of(one, one) == []
    assert notes_of(two, one) == notes_of(one, two)
    assert notes_of(one, two) == [f"is the list of {D1} that {one} has too"]


def test_different_old_and_query_files_of_finra_are_refused(tmp_path: Path) -> None:
    """FINRA publishes one list in two shapes: they are of one market."""
    old = write_list(tmp_path, "a20230301.txt", "AMC|A|u|Y|N", header=FINRA)
    same = write_list(tmp_path, "b.csv", "2023-03-01,AMC,A,u,Y,OTC,Y,N", header=QUERY)
    other = write_list(tmp_path, "c.csv", "2023-03-01,GME,A,u,Y,OTC,Y,N", header=QUERY)
    assert "that" in notes_of(old, same)[0]
    with pytest.raises(UsageError, match="lists of FINRA of 2023-03-01 that differ"):
        notes_of(old, other)


def test_date_of_a_list_is_in_its_last_line_first(tmp_path: Path) -> None:
    """The date is the one of the last line, else of the name, else of --list-date. A name with
    another date is told.
    """
    both = write_list(tmp_path, "a20230302.txt", "AMC|A|Q|Y|N|", "20230301210501")
    named = write_list(tmp_path, "b20230302.txt", "GME|A|Q|Y|N|", "0000001", header=OCC)
    bare = write_list(tmp_path, "c.txt", "X|A|Q|Y||", header=NYSE)
    lists = ThresholdLists(D3)
    [note] = lists.read([bare, named, both])
    assert isinstance(note, Note)
    assert note.text == f"is taken as the list of {D1}, as its last line says, not of {D2}"
    states = [lists.state_of(symbol, D3) for symbol in ("AMC", "GME", "X")]
    assert [state.date for state in states] == [D2, D2, D3]
    assert [state.listed for state in states] == [False, True, True]


@pytest.mark.parametrize("value", ["yesterday", "2023-02-30", "01/03/2023", ""])
def test_list_date_that_is_no_day_is_refused(tmp_path: Path, value: str) -> None:
    """--list-date takes a day that exists."""
    path = write_list(tmp_path, "c.txt", "AMC|A|N|Y||", header=NYSE)
    result = import_lists(write(tmp_path, row("20230301")), [path], "--list-date", value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--list-date is '{value}'; accepted: a date, YYYY-MM-DD or YYYYMMDD" in result.stderr


def test_record_names_an_earlier_list_as_assumed(tmp_path: Path) -> None:
    """A flag from an earlier list is marked in `origin.assumed`; the list and another writing of
    the symbol are named.
    """
    path = write_list(tmp_path, "a20230301.txt", "BRK.B|A|N|Y|N|", "MSFT|A|Q|N|N|")
    fails = write(
        tmp_path,
        *(row(day, AMC, symbol="BRKB") for day in ("20230228", "20230301", "20230302")),
        row("20230302", symbol="MSFT"),
    )
    result = import_lists(fails, [path], "--every-day", "--list-date", D1)
    found = [(it["reg_sho_threshold"], it["origin"]) for it in records(result)]
    assert [flag for flag, _ in found] == [False, True, True, False]
    assumed = ["reg_sho_threshold" in origin["assumed"] for _, origin in found]
    assert assumed == [True, False, True, True]
    assert [origin.get("threshold_list") for _, origin in found] == [None, D1, D1, D1]
    assert [origin.get("threshold_symbol") for _, origin in found] == [
        *(None, "BRK.B", "BRK.B"),
        None,
    ]
    assert "--list-date: was not used: no list lacks a date" in result.stderr


def test_symbols_that_meet_no_row_are_counted(tmp_path: Path) -> None:
    """stderr says how many listed securities no record has; --quiet leaves it out."""
    path = write_list(
        tmp_path, "a20230301.txt", "AMC|A|N|Y|N|", "MSFT|A|Q|Y|N|", "X|A|N|N|N|", "Y|A|N|Y|N|"
    )
    fails = write(tmp_path, row("20230301"), row("20230301", GME, symbol="GME"))
    assert (
        "--threshold-list: lists 1  days 1 (2023-03-01)  threshold securities 3  without a row 2:"
        " AMC, Y\n"
    ) in import_lists(fails, [path]).stderr
    assert import_lists(fails, [path], "--quiet").stderr == ""


def test_equal_symbols_with_different_flags_are_reported(tmp_path: Path) -> None:
    """Two symbols of a list that are one without separators are named if their flags differ; the
    flag that costs the desk more stands.
    """
    path = write_list(
        tmp_path,
        "a20230301.txt",
        "BRK.B|A|N|N|N|",
        "BRK/B|A|N|Y|N|",
        "ABCp|A|N|N|N|",
        "ABCP|A|N|Y|N|",
    )
    fails = write(
        tmp_path, row("20230301", AMC, symbol="BRKB"), row("20230301", GME, symbol="ABCp")
    )
    result = import_lists(fails, [path])
    assert result.exit_code == 1
    assert f'{path}:3: Symbol is "BRK/B"; accepted: one flag for a symbol; line 2' in result.stderr
    assert "damaged lines 1" in result.stderr
    assert [record["reg_sho_threshold"] for record in records(result)] == [True, False]


def test_joined_lists_are_read_one_by_one(tmp_path: Path) -> None:
    """A header inside a file begins the next list, with its own last line, even where a line end
    is missing before it.
    """
    text = (
        f"{NASDAQ}\r\nAMC|A|Q|Y|N|\r\n20230301210501\r\n"
        f"{NASDAQ}\r\nGME|A|Q|Y|N|\r\n20230302210501"
        f"{CBOE}\r\nX|A\r\n2023-03-02 23:00:17\r\n"
    )
    path = tmp_path / "all.txt"
    path.write_bytes(text.encode())
    lists = read(path)
    assert lists.days == [D1, D2]
    assert [lists.state_of(symbol, D2).listed for symbol in ("AMC", "GME", "X")] == [
        *(False, True),
        True,
    ]


def test_pages_of_a_query_in_one_file_are_united(tmp_path: Path) -> None:
    """Pages of FINRA's query that were joined to one file are one list."""
    page = "2023-03-01,{},A,u,Y,OTC,Y,N"
    path = write_list(
        tmp_path, "q.csv", page.format("AMC"), QUERY, page.format("GME"), header=QUERY
    )
    lists = read(path)
    assert [lists.state_of(symbol, D1).listed for symbol in ("AMC", "GME")] == [True, True]


def test_damaged_last_lines_are_reported(tmp_path: Path) -> None:
    """A last line that is neither a date nor a count is damage, as are two dates and rows below
    it. A count that the rows do not have is told.
    """
    fails = write(tmp_path, row("20230301"))
    for closing, code, message in (
        (["20231301210501"], 1, ':3: last line is "20231301210501"; accepted: YYYYMMDD'),
        (["20230301", "20230302"], 1, ':4: last line is "20230302"; accepted: one date for a'),
        (["20230301", "GME|A|Q|Y|N|"], 1, ":4: row is "),
        (["0000007"], 0, "the last line says 7 rows, and the list has 1: fetch the list again"),
    ):
        path = write_list(tmp_path, "a20230301.txt", "AMC|A|Q|Y|N|", *closing)
        result = import_lists(fails, [path])
        assert result.exit_code == code
        assert message in result.stderr


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chosen=st.lists(
        st.tuples(
            st.sampled_from([NASDAQ, NYSE, CBOE, OCC]),
            st.sampled_from("123"),
            st.sets(st.sampled_from(["AMC", "BRK.B", "BRKB", "GME", "MSFT"])),
        ),
        max_size=5,
    ),
    data=st.data(),
)
def test_order_of_files_and_lists_changes_nothing(
    tmp_path: Path, chosen: list[tuple[str, str, set[str]]], data: st.DataObject
) -> None:
    """The records and the messages are the same for each order of the files and the lists."""
    lists = [
        write_list(
            tmp_path,
            f"l{number}-2023030{day}.txt",
            *(f"{symbol}|A|N|Y||" for symbol in sorted(symbols)),
            header=header,
        )
        for number, (header, day, symbols) in enumerate(chosen)
    ]
    files = [
        write(tmp_path, row("20230301"), row("20230302", AMC, symbol="AMC"), name="a.txt"),
        write(tmp_path, row("20230301", AMC, symbol="BRKB"), row("20230302"), name="b.txt"),
        write(tmp_path, row("20230302", AMC, 7, symbol="GME"), row("20230303", GME), name="c.txt"),
    ]
    results = []
    for files_in_order, lists_in_order in (
        (files, lists),
        (data.draw(st.permutations(files)), data.draw(st.permutations(lists))),
    ):
        options = [part for path in lists_in_order for part in ("--threshold-list", path)]
        results.append(import_sec(*files_in_order, *options, "--every-day"))
    assert results[0].stdout == results[1].stdout
    assert results[0].stderr == results[1].stderr
    assert results[0].exit_code == results[1].exit_code
    assert MSFT in results[0].stdout or results[0].exit_code == 2
