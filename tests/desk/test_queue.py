"""The queue without scripts: pages, filters, several fails at once, views, and who may what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.service.desk.forms import Form
from finops_cli.service.desk.queue_actions import read_view
from finops_cli.service.problems import ServiceError
from tests.desk.conftest import add_blotter, many_fails, sign_in
from tests.service.conftest import Server, start, stop
from tests.support.records import a_fail, jsonl

pytestmark = pytest.mark.slow
MANY = 250


@pytest.fixture(scope="module")
def long_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own with a queue of several pages: these tests decide about its fails."""
    running = start(tmp_path_factory.mktemp("queue"), "--guard", "off")
    add_blotter(running, many_fails(MANY))
    yield running
    stop(running)


@pytest.fixture
def browser(long_queue: Server) -> Iterator[httpx.Client]:
    """An analyst without scripts."""
    with sign_in(long_queue) as opened:
        yield opened


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return None if found is None else unescape(found[1])


def picked(page: str) -> list[str]:
    """Return the value of each box that selects a fail."""
    return re.findall(r'name="fail" value="([^"]+)"', page)


def test_links_lead_through_the_whole_queue(browser: httpx.Client) -> None:
    """The next links show each fail once; the previous links lead back to the first page."""
    pages, path = [], "/fails"
    while path:
        pages.append(browser.get(path).text)
        path = link(pages[-1], "next")
    seen = [name for page in pages for name in re.findall(r">(Q-\d+)<", page)]
    assert len(seen) == len(set(seen)) == MANY
    assert f'aria-rowcount="{MANY + 1}"' in pages[0]
    assert 'aria-rowindex="202"' in pages[2]
    back = link(pages[2], "prev")
    assert back is not None
    assert picked(browser.get(back).text) == picked(pages[1])


def test_selected_fails_are_accepted_and_assigned(browser: httpx.Client) -> None:
    """The form decides about each selected fail and says so; the audit log has each of them."""
    fails = picked(browser.get("/fails?tier=CRITICAL").text)[:3]
    answer = browser.post(
        "/fails/selected", data={"fail": fails, "do": "accept", "back": "/fails?tier=CRITICAL"}
    )
    assert answer.headers["location"] == "/fails?tier=CRITICAL&said=accepted"
    page = browser.get(answer.headers["location"]).text
    assert "The answers of the selected fails are accepted." in page
    assert page.count(">accepted</span>") == 3
    again = [f"{each.partition(':')[0]}:1" for each in fails]
    browser.post("/fails/selected", data={"fail": again, "do": "assign", "assignee": "ben"})
    assert len(picked(browser.get("/fails?assignee=ben").text)) == 3


def test_fail_that_somebody_changed_stays_as_it_is(browser: httpx.Client) -> None:
    """Of several fails, those decided about meanwhile are named and stay; the others are done."""
    fails = picked(browser.get("/fails?decided=none&order=rank").text)[:2]
    browser.post("/fails/selected", data={"fail": fails[:1], "do": "accept"})
    answer = browser.post(
        "/fails/selected", data={"fail": fails, "do": "assign", "assignee": "ann"}
    )
    assert answer.status_code == 409
    assert "1 fail is assigned. 1 fail stayed as it was" in answer.text
    assert "has version 1, not 0: accepted by analyst" in answer.text
    assert len(picked(browser.get("/fails?assignee=ann").text)) == 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"do": "accept"}, "0 fails"),
        ({"do": "override", "fail": "job-1.1:0"}, "accept, assigned"),
        ({"do": "accept", "fail": "job-1.1"}, "a colon and its version"),
        ({"do": "assign", "fail": "job-1.1:0", "assignee": "x" * 101}, "up to 100"),
    ],
)
def test_damaged_form_is_refused(browser: httpx.Client, form: dict[str, str], said: str) -> None:
    """A form that a page of ours does not make is refused as a page, with what is accepted."""
    answer = browser.post("/fails/selected", data=form)
    assert answer.status_code == 422
    assert said.partition(",")[0] in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_reader_sees_the_queue_and_posts_nothing(long_queue: Server) -> None:
    """A reader has no boxes and no buttons; a form that it sends all the same is refused."""
    with sign_in(long_queue, "reader") as browser:
        page = browser.get("/fails").text
        assert picked(page) == []
        assert "Assign to" not in page
        answer = browser.post("/fails/selected", data={"fail": "job-1.1:0", "do": "accept"})
        assert answer.status_code == 403
    with sign_in(long_queue) as browser:
        foreign = {"Sec-Fetch-Site": "cross-site"}
        form = {"fail": "job-1.1:0", "do": "accept"}
        assert browser.post("/fails/selected", data=form, headers=foreign).status_code == 403


def test_view_is_kept_shown_and_deleted(browser: httpx.Client) -> None:
    """A view is a link with its filter and without a place in the list."""
    form = {"name": "Late <b>", "query": "tier=CRITICAL&within_days=-1&cursor=x&at=100"}
    answer = browser.post("/views", data=form)
    assert answer.headers["location"] == "/fails?tier=CRITICAL&within_days=-1&said=view-saved"
    page = browser.get("/fails").text
    kept = '<a class="button" href="/fails?tier=CRITICAL&amp;within_days=-1">Late &lt;b&gt;</a>'
    assert kept in page
    browser.post("/views/delete", data={"name": "Late <b>", "back": "/fails"})
    assert kept not in browser.get("/fails").text
    assert browser.post("/views", data={"name": "x", "query": "tier=NONE"}).status_code == 422
    assert browser.post("/views", data={"name": " ", "query": ""}).status_code == 422


def test_view_holds_no_personal_data() -> None:
    """The guard reads the name of a view, and refuses a filter for personal data."""
    pytest.importorskip("presidio_analyzer")
    kb = load_kb(bundled_kb_dir())
    redaction = redaction_policy("on", asks_models=False, kb=kb)
    view = read_view(Form({"name": ["of anna@example.com"], "query": ["q=F-1"]}), redaction, kb)
    assert view.name == "of [EMAIL]"
    with pytest.raises(ServiceError, match="q is personal data"):
        read_view(Form({"name": ["x"], "query": ["q=anna@example.com"]}), redaction, kb)


def test_html_in_every_text_stays_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Markup in a name, a counterparty, an assignee and a filter is shown, and does nothing."""
    running = start(tmp_path_factory.mktemp("markup"), "--guard", "off")
    markup = "<img src=x onerror=alert(1)>\"'"
    try:
        content = jsonl(
            a_fail(fail_id=markup, counterparty="DTC-0005", counterparty_name=markup, symbol="<B>"),
            a_fail(fail_id="</script><script>alert(1)</script>", notes=markup),
        )
        add_blotter(running, content)
        with sign_in(running) as browser:
            fails = picked(browser.get("/fails").text)
            assert fails
            form = {"fail": fails, "do": "assign", "assignee": markup}
            browser.post("/fails/selected", data=form)
            for path in ("/", "/fails", f"/fails?q={markup}&assignee={markup}&cusip=<u>"):
                page = browser.get(path).text
                for tag in ("<img", "<script>", "<B>", "<u>", "onerror=alert(1)>"):
                    assert tag not in page, (path, tag)
    finally:
        stop(running)


def test_parameter_that_is_wrong_is_named(browser: httpx.Client) -> None:
    """An address with an unknown parameter or value gives 422 and says what is accepted."""
    for query in ("teir=HIGH", "tier=URGENT", "cursor=%00", "at=1e9", "limit=501", "before=x"):
        answer = browser.get(f"/fails?{query}")
        assert answer.status_code == 422, query
        assert "accepted" in answer.text


def test_api_filters_by_flag_and_change(long_queue: Server) -> None:
    """The API takes the same filters: each row has one of the flags that were asked for."""
    with long_queue.client("reader") as client:
        found = client.get("/v1/fails", params={"flag": ["HIGH_VALUE", "AGED_FAIL"]}).json()
        assert found["fails"]
        for each in found["fails"]:
            assert {"HIGH_VALUE", "AGED_FAIL"} & set(each["answer"]["flags"])
        assert client.get("/v1/fails", params={"change": "NEW"}).json()["fails"] == []
        assert client.get("/v1/fails", params={"flag": "high"}).status_code == 422
