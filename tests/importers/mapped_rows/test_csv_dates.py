"""The facts of the close-out clock in a blotter: dates, sale types and their names in a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.importers.dates import parse_date, parse_moment, parse_with_format
from tests.importers.mapped_rows.test_csv_blotter import (
    GOOD,
    HEADER,
    MAPPING,
    import_blotter,
    records,
)

DATED_HEADER = f"{HEADER},Trade,Settles,Sale,At,Client"
DATED_MAPPING = f"""{MAPPING}
  trade_date: Trade
  clock_facts.settlement_date: Settles
  sale_type: {{column: Sale, values: {{SS: short, L: long, "": unknown}}}}
  clock_facts.as_of: At
  customer: Client
"""
US = 'csv: {dates: "%m/%d/%Y"}\n'


def import_dated(folder: Path, cells: str, more: str = "") -> Any:
    return import_blotter(folder, f"{DATED_HEADER}\n{GOOD},{cells}\n", DATED_MAPPING + more)


def test_csv_clock_facts_nest_into_one_object(tmp_path: Path) -> None:
    """Short and full names of clock facts fill one object of the record."""
    result = import_dated(tmp_path, "2026-11-16,20261117,SS,2026-11-17T16:00,Y")
    assert result.exit_code == 0, result.stderr
    [record] = records(result)
    assert record["clock_facts"] == {
        "trade_date": "2026-11-16",
        "settlement_date": "2026-11-17",
        "sale_type": "short",
        "as_of": "2026-11-17T16:00",
        "customer": True,
    }


def test_csv_empty_clock_cells_leave_their_fields_out(tmp_path: Path) -> None:
    """An empty cell leaves its fact out. A record without a fact has no `clock_facts`."""
    [record] = records(import_dated(tmp_path, ",,,,"))
    assert record["clock_facts"] == {"sale_type": "unknown"}
    plain = MAPPING + "  trade_date: Trade\n"
    [record] = records(import_blotter(tmp_path, f"{HEADER},Trade\n{GOOD},\n", plain))
    assert "clock_facts" not in record


@pytest.mark.parametrize("text", ["11/12/2026", "12.11.2026", "11/18/2026", "2026-11-31", "2026"])
def test_csv_date_of_another_form_is_damage(tmp_path: Path, text: str) -> None:
    """Without a format, a date of another form is reported with its column, and how to give the
    format. The importer does not guess between day and month.
    """
    result = import_dated(tmp_path, f"{text},,,,")
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        f"blotter.csv:2: column 'Trade' (clock_facts.trade_date) is \"{text}\"; accepted: a date,"
        " YYYY-MM-DD or YYYYMMDD; another form needs its format in the mapping, such as"
        ' csv: {dates: "%m/%d/%Y"}'
    ) in result.stderr


def test_csv_date_format_of_mapping_reads_every_date(tmp_path: Path) -> None:
    """The format of the mapping decides between day and month, for all dates of the blotter."""
    [record] = records(import_dated(tmp_path, "11/12/2026,11/13/2026,L,1/5/2027,N", US))
    assert record["clock_facts"] == {
        "trade_date": "2026-11-12",
        "settlement_date": "2026-11-13",
        "sale_type": "long",
        "as_of": "2027-01-05",
        "customer": False,
    }
    european = US.replace("%m/%d", "%d/%m")
    [record] = records(import_dated(tmp_path, "11/12/2026,,,2026-12-12 09:30,", european))
    assert record["clock_facts"]["trade_date"] == "2026-12-11"
    assert record["clock_facts"]["as_of"] == "2026-12-12T09:30"
    refused = import_dated(tmp_path, "2026-11-18,,,,", US)
    assert 'is "2026-11-18"; accepted: a date in the format %m/%d/%Y' in refused.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('csv: {dates: "%m/%d"}\n', "csv.dates is '%m/%d'. Expected a year (%Y or %y), a month"),
        ('csv: {dates: "%m/%d/%q"}\n', "csv.dates is '%m/%d/%q'. Expected a year"),
        ("csv: {dates: US}\n", "csv.dates is 'US'. Expected a year"),
        ("constants: {trade_date: 11/16/2026}\n", "constants.trade_date is '11/16/2026'. Exp"),
        ("constants: {venue: dtc}\n", 'constants.venue is "dtc". Expected cns, ex_clearing'),
        (
            "constants: {settlement_date: 2026-11-17}\n",
            "constants.settlement_date is given under columns too. Expected one of the two",
        ),
        (
            "constants: {venue: cns, clock_facts.venue: cns}\n",
            "constants.venue is given as clock_facts.venue too. Expected one of the two",
        ),
    ],
)
def test_csv_mapping_of_clock_facts_is_checked(tmp_path: Path, more: str, message: str) -> None:
    """A mapping with a wrong date format, a wrong fact or a fact twice is refused."""
    result = import_dated(tmp_path, "2026-11-16,,,,", more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_csv_constant_facts_are_listed_as_assumed(tmp_path: Path) -> None:
    """A fact that is equal in all records is listed under `origin.assumed` with its full name."""
    [record] = records(import_dated(tmp_path, ",,,,", "constants: {venue: ex_clearing}\n"))
    assert record["clock_facts"]["venue"] == "ex_clearing"
    assert record["origin"]["assumed"] == ["clock_facts.venue"]


def test_csv_unknown_sale_type_names_its_column(tmp_path: Path) -> None:
    """A sale type that the record does not have is reported with its column."""
    mapping = MAPPING + "  sale_type: Sale\n"
    result = import_blotter(tmp_path, f"{HEADER},Sale\n{GOOD},Shrt\n", mapping)
    assert result.exit_code == 1
    assert "column 'Sale': clock_facts/sale_type is \"Shrt\"; accepted: " in result.stderr


def test_csv_symbol_column_fills_the_origin(tmp_path: Path) -> None:
    """The symbol of a security is written to `origin`, where threshold lists find it."""
    mapping = MAPPING + "  origin.symbol: Ticker\n"
    [record] = records(import_blotter(tmp_path, f"{HEADER},Ticker\n{GOOD},MSFT\n", mapping))
    assert record["origin"]["symbol"] == "MSFT"
    assert record["origin"]["line"] == 2


@given(st.dates())
def test_date_in_every_format_is_the_same_day(day: Any) -> None:
    """A date is the same day in each form that can hold it."""
    iso = day.isoformat()
    assert parse_date(iso) == parse_date(iso.replace("-", "")) == parse_moment(iso) == iso
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * day.month - 3 : 3 * day.month]
    assert parse_with_format(f"{day.day}-{month}-{iso[:4]}", "%d-%b-%Y") == iso
    assert parse_with_format(f"{day.day:02}{day.month:02}{iso[:4]}", "%d%m%Y") == iso
    if day.year // 100 == 20:
        assert parse_with_format(f"{day.month}/{day.day}/{iso[2:4]}", "%m/%d/%y") == iso


@pytest.mark.parametrize(
    "text", ["2026-11-18T24:00", "2026-11-18T09:60", "2026-11-31T09:00", "2026-11-18T9:00", "noon"]
)
def test_moment_that_does_not_exist_is_refused(text: str) -> None:
    """A moment has an hour up to 23, a minute up to 59 and a day of the calendar."""
    with pytest.raises(ValueError, match=r"."):
        parse_moment(text)
