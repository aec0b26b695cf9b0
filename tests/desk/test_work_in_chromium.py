"""Upload and jobs in a real Chromium: the file goes up, the page of the job follows it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.desk.conftest import Visit, open_browser, sign_in
from tests.desk.test_work_pages import DAMAGED, EUROPEAN, send, start_job
from tests.service.conftest import Server, start, stop
from tests.support.browsers import AUDITED_WIDTHS, SCHEMES, is_too_wide, list_violations
from tests.support.own_kb import change_kb
from tests.support.program import ROOT
from tests.support.records import a_fail, jsonl

pytestmark = pytest.mark.slow
LIMIT = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that takes files of 4 MiB."""
    folder = tmp_path_factory.mktemp("small")
    kb = change_kb(folder, "serve.toml", "upload_bytes = 1073741824", f"upload_bytes = {LIMIT}")
    running = start(folder, "--guard", "off", kb=kb)
    yield running
    stop(running)


def choose(page: Any, name: str, content: bytes) -> None:
    """Choose a file in the form, and send it."""
    page.goto("/upload")
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.set_input_files("#file", files=[file])
    page.click("form[data-upload] button")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_file_goes_up_and_its_job_is_followed(visit: Visit, has_scripts: bool) -> None:
    """From the file to the finished job, with scripts and without: the faults are named on the
    way, and with scripts the page of the job changes by itself.
    """
    from playwright.sync_api import expect

    page = visit("operator", java_script_enabled=has_scripts).page
    choose(page, "fails.jsonl", DAMAGED)
    page.wait_for_url(re.compile(r"/upload/file-"))
    expect(page.get_by_text("a CUSIP whose check digit is right").first).to_be_visible()
    page.fill("#day", "2026-11-27")
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url(re.compile(r"/jobs/job-"))
    for _ in range(0 if has_scripts else 300):
        if page.locator(".state-completed").count():
            break
        page.get_by_role("link", name="Reload").click()
        time.sleep(0.1)
    expect(page.locator(".state-completed")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("The first records that cannot be used")).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_preview_is_accessible(visit: Visit, desk: Server, scheme: str) -> None:
    """The preview breaks no rule of axe, with faults and with a mapping, wide and narrow."""
    with sign_in(desk, "operator") as browser:
        places = [
            send(browser, content, name).headers["location"]
            for name, content in (("d.jsonl", DAMAGED), ("e.csv", EUROPEAN), ("x.pdf", b"%PDF-1"))
        ]
    page = visit("operator", color_scheme=scheme).page
    for place in places:
        for width in AUDITED_WIDTHS[scheme]:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(place)
            assert list_violations(page) == [], f"{place} at {width}"
            assert not is_too_wide(page), f"{place} at {width}"


@pytest.mark.parametrize("has_scripts", [True, False])
def test_file_over_the_limit_is_explained(visit: Visit, small: Server, has_scripts: bool) -> None:
    """Above the limit the form comes back with the reason; nothing of the file is kept."""
    from playwright.sync_api import expect

    visitor = visit("operator", server=small, java_script_enabled=has_scripts)
    visitor.accepted.add(413)
    choose(visitor.page, "big.jsonl", jsonl(a_fail()) * (LIMIT // 100))
    expect(visitor.page.get_by_role("alert")).to_contain_text("plit the file")
    expect(visitor.page.locator("#file")).to_be_visible()
    assert list(Path(small.data, "files").iterdir()) == []


def test_job_that_is_killed_goes_on_before_the_eyes(visit: Visit, desk: Server) -> None:
    """The process of a job is killed while its page is open: the page says that it goes on, and
    shows the end; no line is lost or doubled.
    """
    from playwright.sync_api import expect

    count, page = 20_000, visit("reader").page
    lines = b"".join(jsonl(a_fail(fail_id=f"K-{n}")) for n in range(count))
    with sign_in(desk, "operator") as browser:
        place = send(browser, lines).headers["location"]
        job = start_job(browser, place).headers["location"].rpartition("/")[2]
        worker = process_of(job)
        os.kill(worker, signal.SIGSTOP)  # until the page is open
        page.goto(f"/jobs/{job}")
        os.kill(worker, signal.SIGKILL)
        expect(page.locator(".state-completed")).to_be_visible(timeout=120_000)
        expect(page.get_by_text(f"{count:,} lines done")).to_be_visible()
        output = browser.get(f"/v1/jobs/{job}/output").content
    assert output.count(b"\n") == count
    assert f'"K-{count - 1}"'.encode() in output.splitlines()[-1]


def process_of(job: str) -> int:
    """Wait for the process that works on a job."""
    for _ in range(3_000):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith(f"/jobs/{job}/out.jsonl".encode()) for word in words):
                return int(path.parent.name)
        time.sleep(0.01)
    raise AssertionError(f"{job} has no process")


def test_upload_without_room_is_explained(tmp_path: Path) -> None:
    """A disk below its reserve takes no file: the form says so, with status 507."""
    kb = change_kb(tmp_path, "serve.toml", "free_bytes = 1073741824", f"free_bytes = {2**49}")
    running = start(tmp_path, "--guard", "off", kb=kb)
    try:
        with sign_in(running, "operator") as browser:
            answer = send(browser, DAMAGED)
            assert answer.status_code == 507
            assert "the disk of the service is full" in answer.text
            assert 'type="file"' in answer.text
    finally:
        stop(running)


def test_formulas_of_a_table_stay_text(desk: Server) -> None:
    """Cells that a spreadsheet would run are shown, run and exported as text."""
    table = (ROOT / "examples/csv/blotter.csv").read_text().replace("D-1001", '"=cmd|x!A1"')
    with sign_in(desk, "operator") as browser:
        place = send(browser, table.encode(), "blotter.csv").headers["location"]
        assert "=cmd|x!A1" in browser.get(place).text
        mapping = (ROOT / "examples/csv/mapping.yaml").read_text()
        started = start_job(browser, place, mapping=mapping)
        assert started.status_code == 303, started.text
        job = started.headers["location"].rpartition("/")[2]
        for _ in range(300):
            if browser.get(f"/v1/jobs/{job}").json()["state"] == "completed":
                break
            time.sleep(0.1)
        exported = browser.get("/v1/export", params={"job": job, "format": "csv"}).text
    assert "'=cmd|x!A1" in exported
    assert not re.search(r"(^|,)\"?=cmd", exported, re.MULTILINE)


def test_cancel_needs_the_own_page(desk: Server) -> None:
    """A form of another site, and one without a session, stops no job."""
    with open_browser(desk) as stranger:
        answer: httpx.Response = stranger.post("/jobs/job-1/cancel")
        assert answer.status_code in (303, 401)
        assert "/sign-in" in answer.headers.get("location", "/sign-in")
    with sign_in(desk, "operator") as browser:
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        assert browser.post("/jobs/job-1/cancel", headers=foreign).status_code == 403
        assert browser.post("/jobs/job-1/cancel").status_code == 409
