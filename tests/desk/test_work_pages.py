"""Upload, jobs and exports, as a browser without scripts sees them."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import QueryParams

from finops_cli.service.batch.routes import JobRequest
from finops_cli.service.desk.exports_page import EXPORT, list_links
from finops_cli.service.desk.jobs_page import view_job, write_seconds
from finops_cli.service.desk.queue_filter import clean_query, describe_filter
from finops_cli.service.desk.upload.upload_page import StartForm, job_of, write_bytes
from finops_cli.service.problems import ServiceError
from finops_cli.service.store.jobs import Job
from tests.desk.conftest import sign_in
from tests.service.conftest import Server
from tests.support.program import ROOT
from tests.support.records import a_fail, jsonl

slow = pytest.mark.slow
MONDAY = (ROOT / "examples/monday.jsonl").read_bytes()
DAMAGED = (ROOT / "examples/damaged.jsonl").read_bytes()
EUROPEAN = (ROOT / "examples/csv/european-blotter.csv").read_bytes()
SSN = "078-05-1120"


def a_job(**fields: Any) -> Job:
    given: dict[str, Any] = {
        "id": "job-1",
        "command": "run",
        "input": "file-1",
        "options": {},
        "state": "in_progress",
        "created": "2026-11-27T09:00",
        "by": "ben",
        "request_counts": {"total": 200, "done": 50, "ok": 50},
    }
    return Job(**given | fields)


def test_job_shows_progress_rate_and_time_left() -> None:
    """A running job says how far it is, how fast, and how long it still takes."""
    view = view_job(a_job(lines_per_second=12.4, seconds_left=130), None)
    assert (view.state, view.per_cent, view.rate, view.left) == (
        "Runs",
        25,
        "12 lines a second",
        "about 2 min",
    )
    assert view.can_cancel
    assert not view.can_resume
    assert view.statuses[0].link == "/fails?job=job-1&status=ok"


@pytest.mark.parametrize(
    ("state", "may"),
    [
        ("queued", (True, False)),
        ("cancelling", (False, False)),
        ("failed", (False, True)),
        ("cancelled", (False, True)),
        ("completed", (False, False)),
    ],
)
def test_job_offers_what_its_state_allows(state: str, may: tuple[bool, bool]) -> None:
    """A job is stopped while it waits or runs, and goes on after it failed or was stopped."""
    view = view_job(a_job(state=state), None)
    assert (view.can_cancel, view.can_resume) == may


def test_job_names_the_files_of_its_options() -> None:
    """A file has the name that people gave it; a file without a name has its id."""
    options = {"as_of": "2026-11-27", "inventory": "file-2", "counterparty_history": "file-3"}
    view = view_job(a_job(options=options), None, {"file-2": "box.jsonl"})
    assert view.options == (
        ("As of", "2026-11-27"),
        ("Inventory", "box.jsonl"),
        ("Counterparty history", "file-3"),
    )


def test_job_without_a_queue_has_no_links() -> None:
    """The lines of a net or of texts are not fails: their statuses have no links."""
    view = view_job(a_job(command="sentiment"), None)
    assert view.queue_link is None
    assert view.statuses[0].link is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0, "about 0 s"), (90, "about 1 min"), (7_800, "about 2 h 10 min")],
)
def test_time_left_is_written_in_words(seconds: int | None, said: str) -> None:
    """The time that is left is rounded to what a person needs."""
    assert write_seconds(seconds) == said


def test_size_is_written_in_words() -> None:
    """A size has the unit that keeps it short."""
    assert [write_bytes(n) for n in (0, 812, 3_670_016, 2**30)] == [
        "0 bytes",
        "812 bytes",
        "3.5 MiB",
        "1 GiB",
    ]


def test_form_becomes_the_options_of_a_job() -> None:
    """Only what the command takes is passed on, and empty fields are left out."""
    start = StartForm(command="run", day="2026-11-27", time="09:15", inventory="file-2")
    assert job_of(start, "file-1", "file-3") == JobRequest(
        "run",
        "file-1",
        {"as_of": "2026-11-27T09:15", "clock": "card", "inventory": "file-2", "map": "file-3"},
    )
    texts = StartForm(command="sentiment", day="2026-11-27", strict_input=True)
    assert job_of(texts, "file-1", None).options == {}
    proof = StartForm(command="book", day="2026-11-27", certificate=True)
    assert job_of(proof, "file-1", None).options["certificate"] is True


@pytest.mark.parametrize("start", [StartForm(command="run"), StartForm(command="rm", day="x")])
def test_form_without_moment_or_command_is_refused(start: StartForm) -> None:
    """The day is asked for, never taken from a clock."""
    with pytest.raises(ServiceError, match="accepted"):
        job_of(start, "file-1", None)


def test_filters_of_an_export_are_said_in_words() -> None:
    """Empty fields do not filter; each filter is named, and each link has it."""
    query = clean_query(QueryParams("tier=HIGH&tier=CRITICAL&cusip=+&decided=none&job=job-1"))
    chips = [each.text for each in describe_filter(query, EXPORT).chips]
    assert chips == ["Tier: high", "Tier: critical", "Decision: none yet", "Blotter: job-1"]
    links = [each.href for each in list_links(query, "job-1")]
    assert links[0] == "/v1/export?format=csv&job=job-1&tier=HIGH&tier=CRITICAL&decided=none"


def send(browser: httpx.Client, content: bytes, name: str = "fails.jsonl") -> httpx.Response:
    return browser.post("/upload", files={"file": (name, content)})


def start_job(browser: httpx.Client, place: str, **fields: str) -> httpx.Response:
    given = {"command": "run", "day": "2026-11-27", "do": "start", **fields}
    return browser.post(f"{place}/start", data=given)


def finish(browser: httpx.Client, place: str) -> str:
    """Load the page of a job again until it is over."""
    for _ in range(1_800):
        page = browser.get(place).text
        if "hx-trigger" not in page:
            return page
        time.sleep(0.1)
    raise AssertionError(page)


@slow
def test_file_is_uploaded_looked_at_and_run(desk: Server) -> None:
    """From the file to the finished job: the preview names the faults, the job its rejections."""
    with sign_in(desk, "operator") as browser:
        answer = send(browser, DAMAGED)
        assert answer.status_code == 303, answer.text
        preview = browser.get(answer.headers["location"]).text
        assert "10 rows" not in preview
        assert "cannot be used" in preview
        assert "a CUSIP whose check digit is right" in preview
        started = start_job(browser, answer.headers["location"])
        assert started.status_code == 303, started.text
        page = finish(browser, started.headers["location"])
        assert "Done" in page
        assert "The first records that cannot be used" in page
        assert f"{started.headers['location']}/output" in page
        assert "As of: 2026-11-27" in page


@slow
def test_export_shows_its_filter_and_files(desk: Server) -> None:
    """The page has a chip for each filter, a file of each kind, and the people of the desk."""
    with sign_in(desk) as browser:
        answer = browser.get("/export?tier=CRITICAL&decided=none&order=rank")
        assert answer.status_code == 200
        for part in ("Tier: critical", "Decision: none yet", "format=xlsx", 'value="analyst"'):
            assert part in answer.text, part


@slow
def test_inventory_is_no_list_of_fails(desk: Server) -> None:
    """The preview of an inventory says where it belongs, and offers no job on it; the preview of
    a file of fails offers it.
    """
    inventory = (ROOT / "examples/book/inventory.jsonl").read_bytes()
    with sign_in(desk, "operator") as browser:
        page = browser.get(send(browser, inventory, "box.jsonl").headers["location"]).text
        assert "This is an inventory" in page
        assert "Start a job" not in page
        place = send(browser, MONDAY).headers["location"]
        offered = re.search(r'value="([^"]*)">box.jsonl</option>', browser.get(place).text)
        assert offered is not None
        job = start_job(browser, place, inventory=offered[1]).headers["location"]
        page = finish(browser, job)
        assert "Inventory: box.jsonl." in page
        assert "/certificate" not in page


@slow
@pytest.mark.parametrize("first", ["", "sep=;\n"])
def test_inventory_with_semicolons_is_used(desk: Server, first: str) -> None:
    """An inventory as Excel saves it in Europe is recognised, and the job reads its shares."""
    inventory = f"{first}cusip;kind;qty\n594918104;BOX;8000\n".encode()
    name = f"box{len(first)}.csv"
    with sign_in(desk, "operator") as browser:
        page = browser.get(send(browser, inventory, name).headers["location"]).text
        assert "This is an inventory" in page
        place = send(browser, MONDAY).headers["location"]
        offered = re.search(rf'value="([^"]*)">{name}</option>', browser.get(place).text)
        assert offered is not None
        job = start_job(browser, place, inventory=offered[1]).headers["location"]
        page = finish(browser, job)
        assert f"Inventory: {name}." in page


@slow
def test_proof_of_a_shared_box_is_offered_with_its_job(desk: Server) -> None:
    """The tick of the form makes the certificate, and the page of the job has it."""
    fails = (ROOT / "examples/book/fails.jsonl").read_bytes()
    with sign_in(desk, "operator") as browser:
        box = send(browser, (ROOT / "examples/book/inventory.jsonl").read_bytes(), "pool.jsonl")
        inventory = box.headers["location"].rpartition("/")[2]
        place = send(browser, fails).headers["location"]
        assert 'name="certificate"' in browser.get(place).text
        asked = {"command": "book", "certificate": "1", "inventory": inventory}
        job = start_job(browser, place, **asked).headers["location"]
        link = re.search(r'href="(/v1/jobs/[^"]*/certificate)"', finish(browser, job))
        assert link is not None
        assert browser.get(link[1]).content.startswith(b'{"cusip":')


@slow
def test_form_that_is_sent_twice_begins_one_job(desk: Server) -> None:
    """A double click begins one job, also of a table, whose mapping is stored with it; another
    choice on the same page, and a page that is opened again, begin others.
    """
    with sign_in(desk, "operator") as browser:
        for content, name in ((MONDAY, "twice.jsonl"), (EUROPEAN, "twice.csv")):
            place = send(browser, content, name).headers["location"]
            fields = hidden_fields(browser.get(place).text)
            assert fields["key"]
            first = start_job(browser, place, **fields).headers["location"]
            assert start_job(browser, place, **fields).headers["location"] == first
            other = start_job(browser, place, **fields | {"day": "2026-11-26"})
            opened = hidden_fields(browser.get(place).text)
            again = start_job(browser, place, **opened)
            assert len({first, other.headers["location"], again.headers["location"]}) == 3


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's forms, and the mapping that it proposes."""
    found = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    if mapping := re.search(r'<textarea id="mapping"[^>]*>(.*?)</textarea>', page, re.DOTALL):
        found["mapping"] = html.unescape(mapping[1])
    return found


@slow
def test_job_without_a_day_comes_back_as_it_was(desk: Server) -> None:
    """A form without the day is shown again with its values and the reason."""
    with sign_in(desk, "operator") as browser:
        place = send(browser, MONDAY).headers["location"]
        again = start_job(browser, place, command="triage", day="", strict_input="1")
        assert again.status_code == 422
        assert "As of is missing" in again.text
        assert re.search(r'value="triage" checked', again.text)
        assert re.search(r'name="strict_input" value="1" checked', again.text)


@slow
def test_mapping_of_a_table_can_be_corrected(desk: Server) -> None:
    """Facts that a file lacks are added to its mapping; the job uses the mapping that was shown."""
    with sign_in(desk, "operator") as browser:
        place = send(browser, EUROPEAN, "blotter.csv").headers["location"]
        page = browser.get(place).text
        assert "No row can be used until the mapping does" in page
        assert "Start the job" not in page
        found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
        assert found is not None
        mapping = html.unescape(found[1]) + "\nconstants: {side: Sell}\n"
        looked = start_job(browser, place, mapping=mapping, do="preview")
        assert looked.status_code == 303, looked.text
        page = browser.get(looked.headers["location"]).text
        assert "The file does not say" not in page
        assert "Start the job" in page
        kept = looked.headers["location"].rpartition("=")[2]
        started = start_job(browser, place, mapping=mapping, map=kept)
        job = started.headers["location"]
        assert "Mapping: mapping of" in finish(browser, job)
        assert browser.get(f"/v1{job}").json()["options"]["map"] == kept
        emptied = start_job(browser, place, mapping="", do="preview")
        assert browser.get(emptied.headers["location"]).status_code == 200


@slow
def test_page_of_a_job_is_sent_once(desk: Server) -> None:
    """A page that has not changed is answered by 304, and its script by 204."""
    with sign_in(desk, "reader") as browser:
        first = browser.get("/jobs/job-1")
        tag = first.headers["etag"]
        assert browser.get("/jobs/job-1", headers={"If-None-Match": tag}).status_code == 304
        seen = {"seen": tag.strip('"')}
        script = {"HX-Request": "true"}
        assert browser.get("/jobs/job-1", params=seen, headers=script).status_code == 204
        part = browser.get("/jobs/job-1", params={"seen": "x"}, headers=script)
        assert part.status_code == 200
        assert "<html" not in part.text
        assert 'id="job"' in part.text


@slow
@pytest.mark.parametrize("role", ["reader", "analyst", "auditor"])
def test_forms_are_for_operators(desk: Server, role: str) -> None:
    """Whoever may not run jobs sees no form, and a form that is sent anyway is refused."""
    with sign_in(desk, role) as browser:
        assert "/cancel" not in browser.get("/jobs/job-1").text
        assert browser.get("/upload").status_code == 403
        assert send(browser, MONDAY).status_code == 403
        for path in ("/upload/file-x/start", "/jobs/job-1/cancel", "/jobs/job-1/resume"):
            assert browser.post(path, data={"do": "start"}).status_code == 403


@slow
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_form_of_another_page_is_refused(desk: Server, site: str) -> None:
    """A page of another site cannot stop a job or start one with the session of a person."""
    with sign_in(desk, "operator") as browser:
        headers = {"Sec-Fetch-Site": site}
        assert browser.post("/jobs/job-1/cancel", headers=headers).status_code == 403
        answer = browser.post("/upload", files={"file": ("x", MONDAY)}, headers=headers)
        assert answer.status_code == 403


@slow
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"PK\x03\x04zip", 415),
        (b"\x1f\x8bgzip", 415),
        (b"", 303),
    ],
)
def test_packed_bytes_are_refused_on_the_page(desk: Server, content: bytes, status: int) -> None:
    """A packed file comes back to the form with the reason; nothing of it is stored."""
    with sign_in(desk, "operator") as browser:
        before = sorted(Path(desk.data, "files").iterdir())
        answer = send(browser, content)
        assert answer.status_code == status
        if status == 415:
            assert 'role="alert"' in answer.text
            assert 'type="file"' in answer.text
            assert sorted(Path(desk.data, "files").iterdir()) == before


@slow
@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\boot.ini", "<script>alert(1)</script>.jsonl", "a\x1b[2Jb"]
)
def test_name_of_a_file_is_only_shown(desk: Server, name: str) -> None:
    """A name is never a path, and never markup."""
    with sign_in(desk, "operator") as browser:
        place = send(browser, jsonl(a_fail()), name).headers["location"]
        page = browser.get(place).text
        assert "<script>alert" not in page
        assert ".." not in page
        assert "\x1b" not in page
        assert re.fullmatch(r"/upload/file-[0-9a-f]{16}", place)


@slow
def test_export_says_how_many_and_which(desk: Server) -> None:
    """The page counts the fails of its filters, and its links fetch as many."""
    with sign_in(desk, "reader") as browser:
        query = {"job": "job-1", "tier": "CRITICAL", "cusip": "", "status": ""}
        page = browser.get("/export", params=query).text
        said = re.search(r"(\d+) fails? that the filters take", page)
        assert said is not None
        href = html.unescape(re.findall(r'href="(/v1/export[^"]*)"', page)[0])
        answer = browser.get(href)
        assert answer.headers["finops-rows"] == said[1]
        wrong = browser.get("/export", params={"within_days": "soon"})
        assert wrong.status_code == 422
        assert "a whole number" in wrong.text
