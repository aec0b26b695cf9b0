"""How a person gets in: the form, the start link, the session, and what is refused."""

from __future__ import annotations

from http.client import HTTPConnection

import httpx
import pytest

from tests.desk.conftest import open_browser, sign_in
from tests.service.conftest import TOKENS, Server

pytestmark = pytest.mark.slow


def test_browser_without_a_session_is_sent_to_the_form(desk: Server) -> None:
    """A page leads to the form and names itself; the API answers 401 as ever."""
    with open_browser(desk) as browser:
        answer = browser.get("/?tier=HIGH")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=/%3Ftier%3DHIGH"
        assert browser.get("/v1/fails").status_code == 401
        assert browser.get("/", headers={"Accept": "*/*"}).status_code == 401


@pytest.mark.parametrize(
    ("sent_to", "page"),
    [
        ("/fails/job-1.1/decide", "/fails/job-1.1"),
        ("/fails/job-1.1/decisions/2/delete", "/fails/job-1.1"),
        ("/fails/selected", "/fails"),
        ("/views/delete", "/fails"),
        ("/upload", "/upload"),
        ("/jobs/job-1/cancel", "/jobs/job-1"),
        ("/sign-out", "/"),
    ],
)
def test_form_without_a_session_says_that_it_is_lost(desk: Server, sent_to: str, page: str) -> None:
    """A form whose session has ended stores nothing: the way in says so, and leads back."""
    with open_browser(desk) as browser:
        answer = browser.post(sent_to, data={"kind": "comment", "comment": "call DTC"})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/sign-in?next={page}&said=not-stored"
        text = browser.get(answer.headers["location"]).text
        assert '<p class="banner warn" role="status">Your session had ended, so what' in text
        assert f'name="next" value="{page}"' in text


def test_form_begins_a_session(desk: Server) -> None:
    """The right token gives a cookie that scripts and other sites do not get."""
    with open_browser(desk) as browser:
        answer = browser.post("/sign-in", data={"token": TOKENS["analyst"], "next": "/?x=1"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?x=1")
        cookie = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
        assert "analyst" in browser.get("/").text


def test_wrong_token_shows_the_form_again(desk: Server) -> None:
    """A wrong token gives 401, the form with the reason, and no cookie."""
    with open_browser(desk) as browser:
        answer = browser.post("/sign-in", data={"token": "fop_<b>wrong", "next": "//evil.example"})
        assert answer.status_code == 401
        assert "the token is wrong" in answer.text
        assert "evil" not in answer.text
        assert "set-cookie" not in answer.headers


def test_start_link_begins_a_session(desk: Server) -> None:
    """The link that the service prints signs in once; the token leaves the address bar."""
    with open_browser(desk, **{"Sec-Fetch-Site": "none"}) as browser:
        answer = browser.get("/", params={"token": TOKENS["reader"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert browser.get("/").status_code == 200


def test_token_in_the_address_of_another_page_is_nothing(desk: Server) -> None:
    """Only the start link takes a token from an address, and only from a person."""
    token = {"token": TOKENS["admin"]}
    with open_browser(desk) as browser:
        assert browser.get("/v1/fails", params=token).status_code == 401
        foreign = browser.get("/", params=token, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.headers["location"] == "/sign-in"
        assert "set-cookie" not in foreign.headers
        wrong = browser.get("/", params={"token": "fop_wrong"})
        assert wrong.status_code == 401


def test_link_on_another_site_opens_with_the_session(desk: Server) -> None:
    """Such a request has no cookie; it gets a page that asks again by itself."""
    with open_browser(desk, **{"Sec-Fetch-Site": "cross-site"}) as browser:
        answer = browser.get("/?tier=HIGH")
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/?tier=HIGH"' in answer.text


def test_page_that_asks_again_leads_to_no_other_site(desk: Server) -> None:
    """A path that a browser would read as another host is not repeated in the page."""
    raw = HTTPConnection(desk.url.removeprefix("http://"))  # httpx would read it so too
    raw.request(
        "GET", "//evil.example/x", headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    )
    with raw.getresponse() as answer:
        said = answer.read().decode() + (answer.headers["location"] or "")
    raw.close()
    assert "evil" not in said


def test_sign_out_ends_the_session(desk: Server) -> None:
    """After signing out, the old cookie opens nothing."""
    with sign_in(desk) as browser:
        kept = browser.cookies["finops"]
        assert browser.post("/sign-out").headers["location"] == "/sign-in?said=signed-out"
        old = browser.get("/", headers={"Cookie": f"finops={kept}"})
    assert old.status_code == 303


def test_form_of_another_site_is_refused(desk: Server, analyst: httpx.Client) -> None:
    """A form on another site, and a cookie without an origin, change nothing."""
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for path in ("/theme", "/sign-out", "/sign-in"):
        answer = analyst.post(path, data={"theme": "dark"}, headers=foreign)
        assert answer.status_code == 403, path
    assert analyst.get("/").status_code == 200
    with httpx.Client(base_url=desk.url, cookies=analyst.cookies, timeout=60) as bare:
        assert bare.post("/theme", data={"theme": "dark"}).status_code == 403


def test_switch_keeps_the_colours(analyst: httpx.Client) -> None:
    """The switch sets a cookie and returns to the page; auto takes it away."""
    answer = analyst.post("/theme", data={"theme": "dark", "back": "/?x=1"})
    assert answer.headers["location"] == "/?x=1"
    assert '<html lang="en" data-theme="dark">' in analyst.get("/").text
    analyst.post("/theme", data={"theme": "auto", "back": "/"})
    assert "data-theme" not in analyst.get("/").text


def test_static_names_reach_nothing_else(desk: Server) -> None:
    """Only listed names answer: no parent folder, no name without its digest."""
    with open_browser(desk) as browser:
        page = browser.get("/sign-in").text
        style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        answer = browser.get(style)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    names = ("desk.css", "../rendering.py", "..%2fpages.py", "%2e%2e/pages.py", "//etc/passwd", "")
    for name in names:
        raw = HTTPConnection(desk.url.removeprefix("http://"))  # httpx would tidy the path
        raw.request("GET", f"/static/{name}")
        assert raw.getresponse().status == 404, name
        raw.close()


def test_error_is_a_page_for_a_browser(analyst: httpx.Client) -> None:
    """A browser gets an error as a page, a program as a problem document."""
    answer = analyst.get("/nothing<script>")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>" not in answer.text.replace("<script src", "")
    as_program = analyst.get("/nothing", headers={"Accept": "application/json"})
    assert as_program.headers["content-type"] == "application/problem+json"


def test_error_page_speaks_plainly(analyst: httpx.Client) -> None:
    """The page of an error has a heading in plain words, and leads to what it means."""
    answer = analyst.post("/fails/selected", data={"do": "accept", "back": "/fails"})
    assert answer.status_code == 422
    assert "<h1>A value is not accepted</h1>" in answer.text
    assert "The selection is 0 fails" in answer.text
    assert 'href="/problems/wrong-value"' in answer.text
    assert analyst.get("/problems/wrong-value").status_code == 200


def test_today_counts_monday(analyst: httpx.Client) -> None:
    """The page has the counts of the blotter, each as a link to the fails behind it."""
    page = analyst.get("/").text
    assert "9 fails of" in page
    assert '<a class="count" href="/fails?tier=CRITICAL">3</a>' in page
    assert '<a class="count" href="/fails?status=rejected">1</a>' in page


def test_login_is_in_the_audit_log(desk: Server, analyst: httpx.Client) -> None:
    """The audit log names who signed in, and never the token."""
    with desk.client("auditor") as client:
        entries = client.get("/v1/audit", params={"limit": 1000})
    assert any(each["action"] == "login" for each in entries.json())
    assert TOKENS["analyst"] not in entries.text
