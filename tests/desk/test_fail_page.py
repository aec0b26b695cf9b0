"""The page of one fail over HTTP: what it shows, and every line that could break it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.desk.conftest import sign_in
from tests.desk.test_fail_values import LINES, RECORDS
from tests.service.conftest import Server, start, stop
from tests.service.test_jobs import begin, finish, upload
from tests.support.crafted_jobs import craft_job
from tests.support.program import ROOT

pytestmark = pytest.mark.slow
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}=1+1"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;"
BOOK = ROOT / "examples/book"


def line_of(fail_id: str, **parts: Any) -> bytes:
    """Return Monday's first line under another name and with other parts."""
    given = json.loads(LINES[0]) | {"fail_id": fail_id} | parts
    return json.dumps(given).encode()


def poison(value: Any) -> Any:
    """Put HTML into every free text of a line."""
    if isinstance(value, dict):
        return {name: poison(each) for name, each in value.items()}
    if isinstance(value, list):
        return [poison(each) for each in value]
    is_free = isinstance(value, str) and (" " in value or value.startswith(("DTC", "594")))
    return EVIL if is_free else value


def evil_line() -> bytes:
    given = poison(json.loads(LINES[0])) | {"fail_id": EVIL[:60], "status": "repaired"}
    found = {"rule": EVIL, "path": EVIL, "expected": EVIL, "actual": {"x": EVIL}, "message": EVIL}
    given["verification"] = {"triage": [found], "resolution": []}
    given["warnings"] = [found, found | {"rule": "book.promised_before"}]
    given["raw"] = {"triage": EVIL}
    given["fail"] |= {"symbol": EVIL, "counterparty_name": EVIL}
    return json.dumps(given).encode()


FAILED = line_of(
    "C-FAILED", status="failed", triage=None, resolution=None, headline=None,
    raw={"triage": "no JSON at all"}, error={"line": 3, "message": "no valid answer"},
)  # fmt: skip
MANY = json.loads(LINES[0])["resolution"]["resolution_steps"][0]
MANY_STEPS = [MANY | {"step": number} for number in range(1, 501)]
PLAN = json.loads(LINES[0])["resolution"]
CRAFTED = [
    evil_line(),
    line_of("C-STEPS", resolution=PLAN | {"resolution_steps": MANY_STEPS}),
    FAILED,
    line_of("C-FALLBACK", status="fallback", raw={"triage": {"priority_tier": "LOW"}}),
    line_of("C-GIANT", resolution=PLAN | {"narrative": "word " * 200_000}),
    line_of("C-OLD", verification={"triage": "in words"}),
    line_of("C-NO-PLAN", resolution=None, resolution_skipped="NO_ACTION"),
]  # fmt: skip


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose newest job has lines that no run of this version writes."""
    folder = tmp_path_factory.mktemp("crafted")
    craft_job(folder / "data", CRAFTED)
    running = start(folder, "--guard", "off")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a plan of the whole book."""
    running = start(tmp_path_factory.mktemp("book"), "--guard", "off")
    with running.client("operator") as client:
        inventory = upload(client, (BOOK / "inventory.jsonl").read_bytes())
        fails = upload(client, (BOOK / "fails.jsonl").read_bytes())
        finish(client, begin(client, "book", fails, inventory=inventory))
    yield running
    stop(running)


def get(browser: httpx.Client, path: str, status: int = 200) -> str:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text[:400]
    return answer.text


def test_page_says_what_to_do_and_why(analyst: httpx.Client) -> None:
    """The page has the sentence, the score with its rules, the plan, the letters, the record."""
    text = get(analyst, "/fails/F-1001")
    for part in (
        "Deliver 8,000 shares of 594918104 today from the box",
        'href="/rules/score.age_factor">age</a>',
        "7 (settlement days since settlement date); band over 6 to 9",
        "4 (percent of the counterparty&#39;s trades that failed over 15 days); band from 3 to 5",
        "4,000 shares have no source: escalate.",
        "Chaser to DTC-0161",
        "Same security: 1 other fail",
        "&#34;cp_fail_rate_pct&#34;: 4",
    ):
        assert part in text, part
    assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*src=)", text)
    assert "Not known: neither the job nor the record says the day" in text


def test_view_of_a_fail_is_in_the_audit_log(desk: Server) -> None:
    """Whoever opens a page is in the audit log, as whoever asks the API is."""
    with sign_in(desk, "reader") as browser:
        get(browser, "/fails/F-1003")
    with desk.client("auditor") as client:
        last = client.get("/v1/audit", params={"limit": 1000}).json()[-1]
    assert (last["who"], last["action"]) == ("reader", "view")
    assert last["subject"].endswith(".3")


def test_rejected_line_shows_its_cure_and_no_answer(analyst: httpx.Client) -> None:
    """A record that cannot be used has its problems, and nothing to accept."""
    text = get(analyst, "/fails/F-BAD")
    assert "counterparty is missing; accepted: DTC- and four digits" in text
    assert "Accept the answer" not in text
    assert "Override the answer" not in text
    assert "Assign to me" in text


def test_unknown_fail_is_a_page_that_says_so(analyst: httpx.Client) -> None:
    """An unknown name gives 404, and is not HTML of its own."""
    text = get(analyst, "/fails/%3Cb%3EF-1", status=404)
    assert "<b>F-1" not in text


def test_html_in_every_field_stays_text(crafted: Server) -> None:
    """Markup in each text of a line is shown, and does nothing."""
    with sign_in(crafted) as browser:
        text = get(browser, "/fails/job-1.1")
    assert text.count(SHOWN) > 15
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "49=1+1" not in text


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("C-STEPS", "480 further steps"),
        ("C-FAILED", "no valid answer"),
        ("C-FALLBACK", "the engine answered instead of the model"),
        ("C-GIANT", "word word"),
        ("C-OLD", "The line has another shape"),
        ("C-NO-PLAN", "No plan: NO_ACTION."),
    ],
)
def test_unusual_line_has_its_page(crafted: Server, name: str, part: str) -> None:
    """A long plan, a failed line, one of another version: each has a page, and its words."""
    with sign_in(crafted) as browser:
        assert part in get(browser, f"/fails/{name}")


def test_output_that_is_gone_leaves_the_row(tmp_path: Path) -> None:
    """Without the output of its job a fail still has its sentence and its decisions."""
    job = craft_job(tmp_path / "data", [LINES[0]], [RECORDS[0]])
    (tmp_path / "data/jobs" / job / "out.jsonl").unlink()
    running = start(tmp_path, "--guard", "off")
    try:
        with sign_in(running) as browser:
            text = get(browser, "/fails/F-1001")
            assert "The output of the job is gone" in text
            assert "Deliver 8,000 shares" in text
            assert "Override the answer" not in text
    finally:
        stop(running)


def test_same_name_in_an_older_job_is_another_page(tmp_path: Path) -> None:
    """The name means the newest job; the older answer has its own page, and each names the other.

    The fails beside it are those of its own job.
    """
    other = json.loads(LINES[0])
    other["triage"] |= {"priority_tier": "HIGH"}
    older = craft_job(tmp_path / "data", [json.dumps(other).encode(), LINES[7]])
    newer = craft_job(tmp_path / "data", [LINES[0]])
    running = start(tmp_path, "--guard", "off")
    try:
        with sign_in(running) as browser:
            text = get(browser, "/fails/F-1001")
            assert f'<a href="/fails/{older}.1">{older}</a>' in text
            assert "Same security" not in text
            text = get(browser, f"/fails/{older}.1")
            assert f'<a href="/fails/{newer}.1">{newer}</a>' in text
            assert f'href="/fails/{older}.2" title="F-1008">F-1008</a>' in text
    finally:
        stop(running)


def test_fail_of_a_book_shows_its_queue(book: Server) -> None:
    """Place, cut, what it competes with and a link to the pool; the others are links."""
    with sign_in(book, "reader") as browser:
        text = get(browser, "/fails/B-3")
        for part in (
            "Place <strong>3</strong> of 3 in the queue of",
            "alone it would lack 0",
            "B-1, B-2 and B-3 owe 16,000. What reaches them in time holds 11,000",
            'href="/fails/job-1.1" title="B-1">B-1</a>',
            "depot London 5,000",
            'href="/pools/594918104?job=job-1"',
            "It gets <strong>nothing</strong>.",
        ):
            assert part in text, part
        gets = "receive DTC-0161 2,500, recall lot-7 1,500 (late), borrow lender-2 2,000"
        assert f"It gets <strong>{gets}" in get(browser, "/fails/B-6")


def test_pool_shows_sources_fails_and_what_is_missing(book: Server) -> None:
    """The pool has its picture, its sums, its cuts, and each fail of its queue as a link."""
    with sign_in(book, "reader") as browser:
        text = get(browser, "/pools/594918104?job=job-1")
        assert "<title>3 fails owe 16,000 shares of 594918104; 5,000 stay uncovered</title>" in text
        assert "B-1 owes 9,000. What reaches it in time holds 6,000 (box 6,000)." in text
        assert 'href="/fails/job-1.2" title="B-2">B-2</a>' in text
        assert "3 days away" in text
        assert " style=" not in text
        assert 'href="/pools/594918104?job=job-1"' in get(browser, "/fails")
        assert "pool of 123456782" in get(browser, "/pools/123456782", status=404)
        get(browser, "/pools/594918104?job=job-9", status=404)


def test_run_has_no_pool(analyst: httpx.Client) -> None:
    """A plan of single fails has no pool, and the page says which job makes one."""
    assert "a job `book`" in get(analyst, "/pools/594918104", status=404)
