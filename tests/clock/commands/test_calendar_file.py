"""The desk's calendar file is laid over the built-in calendar (regulatory-clock, section 3.5)."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from finops_cli.clock.market_calendar import Calendar, builtin_calendar
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.calendar_file import list_unchanged, open_calendar
from tests.support.program import Finops

MOURNING = date(2026, 12, 9)
TOML = '2026-12-09 = { trading = false, name = "day of mourning", basis = "NYSE notice" }\n'
JSON = (
    '{"2026-12-09": {"trading": false, "name": "day of mourning", "basis": "NYSE notice"},'
    ' "exempt": []}'
)
WHOLE = {"trading": True, "settlement": True, "business": True}


def open_text(kb: KnowledgeBase, folder: Path, text: str) -> Calendar:
    """Write a desk's file and open it."""
    file = folder / "desk.toml"
    file.write_text(text, "utf-8")
    return open_calendar(kb.calendar, file)


@pytest.mark.parametrize("text", [TOML, JSON, f"\n  {JSON}\n", f"\ufeff{TOML}"])
def test_calendar_file_changes_only_what_it_gives(
    text: str, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rule: TOML and JSON say the same; a closing settles, is a business day and does not count
    for Rule 204; every other day stays built in.
    """
    calendar = open_text(kb, tmp_path, text)
    facts = calendar.facts(MOURNING)
    kinds = (facts.trading, facts.settlement, facts.business, facts.counts_204)
    assert kinds == (False, True, True, False)
    assert facts.reason == "day of mourning, NYSE notice"
    built_in = builtin_calendar(kb.calendar)
    changed = [
        day
        for day, each in calendar.days(built_in.first, built_in.last)
        if each != built_in.facts(day)
    ]
    assert changed == [MOURNING]
    assert (calendar.first, calendar.last) == (built_in.first, built_in.last)
    assert (calendar.identity.id, calendar.identity.overrides) == ("builtin-2026.1", 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-12-09 = { trading = false }", "desk's calendar"),
        ("2026-10-12 = { settlement = true }", "desk's calendar"),
        ('2026-12-09 = { trading = false, basis = "NYSE" }', "NYSE"),
    ],
)
def test_calendar_entry_without_a_name_has_a_reason(
    text: str, reason: str, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rule: a day that the desk's file changes says so: no day changes without a reason."""
    day = date.fromisoformat(text[:10])
    assert open_text(kb, tmp_path, text).facts(day).reason == reason


def test_calendar_entries_that_change_nothing_are_listed(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Rule: an entry is listed where the built-in calendar has the same kinds for its day."""
    text = (
        f"{TOML}2026-11-26 = {{ trading = false }}\n2026-12-10 = {{}}\n"
        '2026-11-27 = { name = "short day" }\nexempt = []\n'
    )
    open_text(kb, tmp_path, text)
    found = list_unchanged(kb.calendar, tmp_path / "desk.toml")
    assert [day.isoformat() for day in found] == ["2026-11-26", "2026-11-27", "2026-12-10"]


def test_clock_days_names_entries_that_change_nothing(tmp_path: Path, finops: Finops) -> None:
    """Rule: stderr names the days of the desk's file that are built in, and the days follow."""
    file = tmp_path / "desk.toml"
    file.write_text(f"{TOML}2026-11-26 = {{ trading = false }}\n", "utf-8")
    done = finops("clock", "days", "2026-12-09", "2026-12-09", "--calendar", file)
    assert b"1 day is the same in the built-in calendar: 2026-11-26" in done.stderr
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


def test_calendar_without_a_file_is_the_built_in_one(kb: KnowledgeBase) -> None:
    """Rule: without a file the built-in calendar counts, and names no override."""
    calendar = open_calendar(kb.calendar, None)
    assert calendar is builtin_calendar(kb.calendar)
    assert calendar.identity.overrides == 0
    assert calendar.identity.reviewed == "2026-11-20"


def test_calendar_digest_names_each_change(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Rule: equal files have equal digests; another kind, text, day or exemption has another."""
    texts = [
        TOML,
        TOML.replace("false", "true"),
        TOML.replace("NYSE", "Nasdaq"),
        TOML.replace("2026-12-09", "2026-12-10"),
        f'exempt = ["BD-1"]\n{TOML}',
        f'exempt = ["BD-2"]\n{TOML}',
        "",
    ]
    digests = [open_text(kb, tmp_path, text).identity.sha256 for text in texts]
    assert len(set(digests)) == len(texts)
    assert digests[0] == open_text(kb, tmp_path, JSON).identity.sha256
    assert digests[-1] == builtin_calendar(kb.calendar).identity.sha256
    both = [
        open_text(kb, tmp_path, f"exempt = {names}").identity.sha256
        for names in ('["BD-1", "BD-2"]', '["BD-2", "BD-1"]')
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-12-09 = ", "desk.toml is not TOML or JSON: "),
        ('{"2026-12-09": ', "desk.toml is not TOML or JSON: "),
        (f'{{"2026-12-09": {"[" * 99_999}', "desk.toml is not TOML or JSON: "),
        (f"{TOML}{TOML}", "desk.toml is not TOML or JSON: "),
        (
            '{"2026-12-09": {"trading": false}, "2026-12-09": {"trading": true}}',
            "desk.toml is not TOML or JSON: 2026-12-09 is there twice",
        ),
        (
            "2026-12-32 = { trading = false }",
            "desk.toml: 2026-12-32 is not a day. Expected YYYY-MM-DD.",
        ),
        (
            "20261209 = { trading = false }",
            "desk.toml: 20261209 is not a day. Expected YYYY-MM-DD.",
        ),
        ("holiday = { trading = false }", "desk.toml: holiday is not a day. Expected YYYY-MM-DD."),
        ("2026-12-09 = false", "desk.toml: 2026-12-09 is False. Expected a table."),
        (
            "2026-12-09 = { trade = false }",
            "desk.toml: 2026-12-09.trade is unknown. Expected trading, settlement, business",
        ),
        (
            "2026-12-09 = { trading = 0 }",
            "desk.toml: 2026-12-09.trading is 0. Expected true or false.",
        ),
        (
            '2026-12-09 = { counts_204 = "yes" }',
            "desk.toml: 2026-12-09.counts_204 is 'yes'. Expected true or false.",
        ),
        ("2026-12-09 = { name = 1 }", "desk.toml: 2026-12-09.name is 1. Expected a text."),
        ('exempt = "BD-1"', "desk.toml: exempt is 'BD-1'. Expected a list of names."),
        ("exempt = [1]", "desk.toml: exempt is [1]. Expected a list of names."),
        (
            "2029-01-01 = { trading = false }",
            "desk.toml: 2029-01-01 is outside the built-in calendar and lacks settlement, business",
        ),
        (
            json.dumps({"2029-01-02": WHOLE}),
            "desk.toml: 2029-01-01 is missing between the built-in calendar and 2029-01-02",
        ),
        (
            json.dumps({"2003-12-30": WHOLE}),
            "desk.toml: 2003-12-31 is missing between the built-in calendar and 2003-12-30",
        ),
        (
            json.dumps({"9999-12-31": WHOLE}),
            "desk.toml: 2029-01-01 is missing between the built-in calendar and 9999-12-31",
        ),
    ],
)
def test_calendar_file_with_a_fault_is_refused(
    text: str, message: str, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rule: a fault names the file, the field, its value and what is accepted, and has a fix."""
    with pytest.raises(UsageError) as refused:
        open_text(kb, tmp_path, text)
    assert message in str(refused.value)
    assert refused.value.cure


@pytest.mark.parametrize("content", [None, b"\xff\xfe = 1"])
def test_calendar_file_that_cannot_be_read_is_refused(
    content: bytes | None, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rule: a file that is not there, or is not UTF-8, is a usage error."""
    file = tmp_path / "desk.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot be read|is UTF-16, not UTF-8") as refused:
        open_calendar(kb.calendar, file)
    assert "Errno" not in str(refused.value)
    assert "codec" not in str(refused.value)


@pytest.mark.parametrize(("first", "last"), [("2029-01-01", "2029-03-31"), ("2003-12-01", "")])
def test_calendar_file_may_extend_the_calendar(
    first: str, last: str, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rule: complete days that follow the built-in ones without a gap are counted as they are."""
    begins = date.fromisoformat(first)
    ends = date.fromisoformat(last) if last else kb.calendar.first - timedelta(1)
    given = {}
    day = begins
    while day <= ends:
        is_weekday = day.weekday() < 5
        given[str(day)] = dict.fromkeys(WHOLE, is_weekday)
        day += timedelta(1)
    calendar = open_text(kb, tmp_path, json.dumps(given))
    assert (calendar.first, calendar.last) == (
        min(begins, kb.calendar.first),
        max(ends, kb.calendar.last),
    )
    weekdays = sum(days["trading"] for days in given.values())
    assert calendar.identity.overrides == len(given)
    counted = sum(facts.counts_204 for _, facts in calendar.days(begins, ends))
    assert counted == weekdays
    if last:
        assert calendar.add(kb.calendar.last, weekdays, "counts_204") == date(2029, 3, 30)


def test_calendar_file_exempts_broker_dealers(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Rule: `exempt` names broker-dealers that did not cause a fail, and is not a day."""
    calendar = open_text(kb, tmp_path, f'exempt = ["BD-1", "BD-2"]\n{TOML}')
    assert calendar.exempt == {"BD-1", "BD-2"}
    assert calendar.identity.overrides == 1
