"""Refusals of unknown people: the audit log stays small, and its counts are whole."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from finops_cli.service.audit_log.refusals import Refusals, Tally
from finops_cli.service.store.audit import AuditEntry, read_entries, verify
from finops_cli.service.store.sqlite import SqliteDatabase
from tests.service.conftest import start, stop

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ROWS, FLOOD = 10, 50


def flood(
    refusals: Refusals, address: str, at: datetime, count: int = FLOOD
) -> tuple[int, list[Tally]]:
    """Refuse `count` requests in half a minute: those with an entry, and the counts that ended."""
    own, ended = 0, []
    for number in range(count):
        moment = at + timedelta(seconds=30 * number / count)
        ended += refusals.take_ended(moment)
        own += refusals.has_room(address, "token", moment)
    return own, ended


def test_flood_gets_a_few_entries_then_one_a_minute() -> None:
    """Ten refusals are entries; the others of each minute are one, with how many there were."""
    refusals = Refusals(ROWS)
    own, ended = flood(refusals, "10.0.0.1", NOW)
    assert (own, ended) == (ROWS, [])
    own, [first] = flood(refusals, "10.0.0.1", NOW + timedelta(minutes=1))
    assert (own, first.count) == (0, FLOOD - ROWS)
    own, [second] = flood(refusals, "10.0.0.1", NOW + timedelta(minutes=2), count=1)
    assert (own, second.count) == (0, FLOOD)
    [third] = refusals.take_ended(None)
    assert third.details()["problems"] == {"token": 1}
    assert flood(refusals, "10.0.0.1", NOW + timedelta(minutes=3))[0] == ROWS


def test_addresses_share_neither_room_nor_count() -> None:
    """A flood from one address hides nothing of another; a network of IPv6 is one address."""
    refusals = Refusals(ROWS)
    flood(refusals, "10.0.0.1", NOW)
    assert flood(refusals, "::ffff:10.0.0.2", NOW)[0] == ROWS
    own = [flood(refusals, f"2001:db8::{each}", NOW, count=1)[0] for each in range(1, FLOOD)]
    assert sum(own) == ROWS
    counts = {each.address: each.count for each in refusals.take_ended(None)}
    assert counts == {"10.0.0.1": 40, "10.0.0.2": 40, "2001:db8::/64": FLOOD - 1 - ROWS}


def test_thousands_of_addresses_share_one_count() -> None:
    """The entries of a minute are bounded, however many addresses send requests."""
    refusals = Refusals(ROWS)
    asked = [(f"10.1.{a}.{b}", ROWS + 1) for a in range(10) for b in range(100)]
    own = sum(flood(refusals, address, NOW, count)[0] for address, count in asked)
    assert own == 101 * ROWS
    counted = refusals.take_ended(None)
    assert len(counted) == 101
    assert own + sum(each.count for each in counted) == len(asked) * (ROWS + 1)


def test_counts_that_were_not_written_are_kept() -> None:
    """While the database is away nothing is forgotten: the counts of later minutes are added."""
    refusals = Refusals(ROWS)
    flood(refusals, "10.0.0.1", NOW)
    lost = refusals.take_ended(NOW + timedelta(minutes=1))
    refusals.has_room("10.0.0.1", "wrong-host", NOW + timedelta(minutes=1))
    refusals.give_back(lost)
    [kept] = refusals.take_ended(None)
    assert (kept.since, kept.count) == (NOW, FLOOD - ROWS + 1)
    assert kept.details()["problems"] == {"token": FLOOD - ROWS, "wrong-host": 1}


@pytest.fixture
def denied(tmp_path: Path) -> list[AuditEntry]:
    """The refusals in the audit log of a service that unknown people asked 80 times."""
    running = start(tmp_path, "--guard", "off")
    try:
        with httpx.Client(base_url=running.url, timeout=60) as client:
            for number in range(FLOOD):
                assert client.get(f"/v1/kb?n={number}").status_code == 401
            for _ in range(20):
                assert client.get("/v1/kb", headers={"Host": "evil.example"}).status_code == 421
            for _ in range(ROWS):
                answer = client.post("/sign-in", data={"token": "wrong"})
                assert answer.status_code == 401
            with running.client("reader") as reader:
                assert reader.get("/v1/audit").status_code == 403
    finally:
        stop(running)
    with closing(SqliteDatabase(running.data)) as database:
        assert isinstance(database.write_now(verify), int)
        entries = asyncio.run(database.read(lambda db: read_entries(db, 0, 1_000)))
    return [each for each in entries if each.action == "denied"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("fastapi") is None, reason="the extra `serve` is not installed")
def test_requests_without_tokens_fill_no_disk(denied: list[AuditEntry]) -> None:
    """80 requests of unknown people leave ten entries and their count; the refusal of a person
    with a token is always an entry of its own.
    """
    own = [each for each in denied if "count" not in each.details]
    counted = [each.details for each in denied if "count" in each.details]
    assert [each.who for each in own].count("reader") == 1
    unknown = [each for each in own if not each.who]
    assert ROWS <= len(unknown) <= 2 * ROWS  # a slow machine may begin another minute
    assert {each["address"] for each in counted} == {"127.0.0.1"}
    assert len(unknown) + sum(each["count"] for each in counted) == FLOOD + 20 + ROWS
    assert {name for each in counted for name in each["problems"]} == {"token", "wrong-host"}
