"""Exports of the queue with its decisions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import Any

import pytest

from finops_cli.service.fails.export_worker import describe_decision
from finops_cli.service.store.decisions import Change, State
from tests.service.conftest import Server
from tests.service.test_fails import OF_TIER, decide, desk, fails

__all__ = ["desk"]
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State(), None),
        (State(outcome="accepted"), "accepted"),
        (State(outcome="accepted", is_closed=True), "accepted, closed"),
        (State(outcome="overridden", change=Change(tier="LOW")), "overridden: tier LOW"),
        (State(outcome="overridden", change=Change(steps=[])), "overridden: 0 steps"),
        (State(has_proposal=True), "an override is proposed"),
    ],
)
def test_decision_is_described_in_words(state: State, said: str | None) -> None:
    """The column says what stands, and is empty where nobody decided."""
    assert describe_decision(state) == said


@pytest.fixture(scope="module")
def decided(desk: tuple[Server, str]) -> tuple[Server, str]:
    """The desk, with an override, an assignment and a comment that looks like a formula."""
    server, _ = desk
    with server.client("analyst") as client:
        ticked = {"tier": "LOW", "reason": "paid", "acknowledge": OF_TIER}
        assert decide(client, "F-1001", kind="override", **ticked).status_code == 201
        decide(client, "F-1001", kind="assign", assignee="ben")
        decide(client, "F-1001", kind="comment", comment="=HYPERLINK(1)")
    return desk


def export(server: Server, **query: Any) -> Any:
    with server.client("reader") as client:
        answer = client.get("/v1/export", params=query)
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return answer


@slow
def test_csv_has_the_decisions_and_no_formula(decided: tuple[Server, str]) -> None:
    """The CSV has a row for each fail, with what was decided; no cell is a formula."""
    answer = export(decided[0], format="csv", order="rank")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == int(answer.headers["finops-rows"]) == 9
    row = next(each for each in rows if each["fail_id"] == "F-1001")
    assert (row["decision"], row["decided_by"], row["owner"], row["decision_reason"]) == (
        "overridden: tier LOW",
        "analyst",
        "ben",
        "paid",
    )
    assert row["comment"] == "'=HYPERLINK(1)"
    assert row["tier"] == "CRITICAL"


@slow
def test_json_lines_are_the_fails_of_the_queue(decided: tuple[Server, str]) -> None:
    """A line is what the queue shows, for the fails of the filter alone."""
    lines = export(decided[0], format="jsonl", tier="CRITICAL").content.splitlines()
    with decided[0].client("reader") as client:
        assert [json.loads(line) for line in lines] == fails(client, tier="CRITICAL")


@slow
def test_workbook_has_owner_comment_and_decision(decided: tuple[Server, str]) -> None:
    """The workbook has the assignee as its owner, the comment as text, and the decision."""
    openpyxl = pytest.importorskip("openpyxl")
    answer = export(decided[0], format="xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content))["List"]
    titles, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    found = [dict(zip(titles, row, strict=True)) for row in rows]
    row = next(each for each in found if each["Fail"] == "F-1001")
    assert (row["Owner"], row["Comment"], row["Decision"]) == (
        "ben",
        "=HYPERLINK(1)",
        "overridden: tier LOW",
    )
    kinds = {cell.data_type for line in sheet.iter_rows() for cell in line}
    assert "f" not in kinds


@slow
def test_page_shows_the_decision(decided: tuple[Server, str]) -> None:
    """The HTML page shows the decision, and no text of it is markup."""
    with decided[0].client("analyst") as client:
        decide(client, "F-1003", kind="comment", comment="<script>alert(1)</script>")
    page = export(decided[0], format="html").text
    assert "overridden: tier LOW" in page
    assert "<script>alert" not in page


@slow
def test_export_is_in_the_audit_log(decided: tuple[Server, str]) -> None:
    """The audit log has the filter, the rows and the digest of the bytes that were sent; nothing of
    the file stays.
    """
    answer = export(decided[0], format="csv", status="rejected")
    with decided[0].client("auditor") as auditor:
        entries = auditor.get("/v1/audit", params={"limit": 1000}).json()
    [entry] = [
        each
        for each in entries
        if each["action"] == "export" and each["details"]["filter"] == {"statuses": ["rejected"]}
    ]
    assert entry["details"]["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert entry["details"]["rows"] == 1
    assert list((decided[0].data / "exports").iterdir()) == []


@slow
@pytest.mark.parametrize("query", [{"format": "pdf"}, {"cursor": "x"}, {"tier": "x"}])
def test_unusable_export_is_refused(desk: tuple[Server, str], query: dict[str, str]) -> None:
    """An export of an unknown form, or with a parameter of pages, is refused."""
    with desk[0].client("reader") as client:
        assert client.get("/v1/export", params=query).status_code == 422
