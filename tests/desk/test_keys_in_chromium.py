"""The keyboard in a real Chromium: what Enter and Escape do, and where the focus goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk.conftest import Visit, add_blotter, many_fails
from tests.service.conftest import Server, start, stop
from tests.support.browsers import WIDTHS, is_too_wide
from tests.support.records import a_fail

pytestmark = pytest.mark.slow
LONG = "L" * 128
"""A name of the greatest length that a record can have, without a place to break it."""


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the blotters of two days; the most urgent fail has a long name."""
    running = start(tmp_path_factory.mktemp("keys"), "--guard", "off")
    urgent = json.dumps(a_fail(fail_id=LONG, age_days=13, market_value=99_000_000)).encode()
    add_blotter(running, urgent + b"\n" + many_fails(250))
    with running.client() as client:
        reason = {"reason": "agreed", "acknowledge": ["tier.band", "tier.escalation"]}
        decision = {"kind": "override", "tier": "LOW", **reason}
        client.post("/v1/fails/job-1.1/decisions", json=decision).raise_for_status()
        name = {"kind": "assign", "assignee": "A" * 100}
        client.post("/v1/fails/job-1.1/decisions", json=name).raise_for_status()
    add_blotter(running, urgent + b"\n" + many_fails(250))
    yield running
    stop(running)


def decisions(server: Server, fail: str) -> list[str]:
    """Return the kinds of decision that people made about a fail."""
    with server.client() as client:
        made = client.get(f"/v1/fails/{fail}").raise_for_status().json()["decisions"]
    return [each["kind"] for each in made]


def begin_override(page: Any, fail: str) -> None:
    """Type an override of a fail, and send nothing."""
    page.goto(f"/fails/{fail}")
    page.locator("#override > summary").press("Enter")
    page.locator("#override-tier").select_option("LOW")
    page.locator("#override-reason").fill("they delivered")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_enter_never_accepts_by_itself(visit: Visit, queue: Server, has_scripts: bool) -> None:
    """Enter in the field of the assignee assigns; on the box of a row it opens the row, or without
    scripts assigns. Nothing is accepted that nobody accepted.
    """
    fail = "Q-00021" if has_scripts else "Q-00022"
    page = visit(server=queue, java_script_enabled=has_scripts).page
    page.goto(f"/fails?q={fail}")
    page.locator("#rows input[name=fail]").press("Space")
    page.locator("#assign-to").fill("ben")
    page.locator("#assign-to").press("Enter")
    page.wait_for_url("**said=assigned")
    page.locator("#rows input[name=fail]").press("Space")
    page.locator("#rows input[name=fail]").press("Enter")
    page.wait_for_url("**/fails/job-2.*" if has_scripts else "**said=assigned")
    assert set(decisions(queue, fail)) == {"assign"}


def test_focus_stays_where_the_work_is(visit: Visit, queue: Server) -> None:
    """After a decision in the queue the keys go on at the same row, and where the filter takes the
    row away, at the one that took its place.
    """
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=queue).page
    names = page.locator("#rows a.open")
    for path, is_gone in (("/fails", False), ("/fails?decided=none", True)):
        page.goto(path)
        for _ in range(40):
            page.keyboard.press("j")
        name, next_name = (names.nth(place).inner_text() for place in (39, 40))
        page.keyboard.press("a")
        page.wait_for_url("**said=accepted")
        row = page.locator("#rows a.open", has_text=next_name if is_gone else name)
        api.expect(row).to_be_focused()
        api.expect(row).to_be_in_viewport()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_form_that_came_back_has_the_focus(visit: Visit, queue: Server, has_scripts: bool) -> None:
    """The keyboard goes on at the first rule to be ticked, or at the fault of the form; with
    scripts, Back from the page that follows leads to the fail.
    """
    api = pytest.importorskip("playwright.sync_api")
    visitor = visit(server=queue, java_script_enabled=has_scripts)
    visitor.accepted.add(422)
    page, fail = visitor.page, "job-2.42" if has_scripts else "job-2.44"
    begin_override(page, fail)
    page.locator("#override-reason").fill(" ")
    page.locator("#override form > button").press("Enter")
    api.expect(page.get_by_role("alert")).to_be_focused()
    page.locator("#override-reason").fill("they delivered")
    page.locator("#override form > button").press("Enter")
    ticks = page.locator("input[name=acknowledge]")
    api.expect(ticks.first).to_be_focused()
    api.expect(ticks.first).to_be_in_viewport()
    page.wait_for_load_state()  # till then the page may set the focus itself
    for tick in ticks.all():
        tick.press("Space")
    page.locator("#override form > button").press("Enter")
    page.wait_for_url("**said=decided-override#decide")
    if has_scripts:
        page.go_back()
        api.expect(page.locator("h1")).to_have_text("Q-00040")


def test_keys_send_nothing_beside_unsent_words(visit: Visit, queue: Server) -> None:
    """`a` beside a reason that is typed, or came back, and not sent goes to the reason: a key that
    is meant for the field accepts nothing.
    """
    api = pytest.importorskip("playwright.sync_api")
    visitor = visit(server=queue)
    visitor.accepted.add(422)
    page = visitor.page
    begin_override(page, "job-2.50")
    page.locator("#override form > button").focus()
    page.keyboard.press("a")
    api.expect(page.locator("#override-reason")).to_be_focused()
    page.locator("#override form > button").press("Enter")
    ticks = page.locator("input[name=acknowledge]")
    api.expect(ticks.first).to_be_focused()
    page.wait_for_load_state()  # the browser sets the focus before the page's scripts know keys
    page.keyboard.press("a")
    api.expect(page.locator("#override-reason")).to_be_focused()
    assert decisions(queue, "job-2.50") == []


def test_escape_leaves_a_field_and_closes_a_list(visit: Visit, queue: Server) -> None:
    """Escape gives the keys of the page back, and no list of a filter stays above the rows."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=queue).page
    page.goto("/fails")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    api.expect(page.locator("#rows a.open").first).to_be_focused()
    choice = page.locator("details.choice").first
    choice.locator("summary").press("Enter")
    api.expect(choice).to_have_attribute("open", "")
    choice.locator("input").first.press("Escape")
    api.expect(choice).not_to_have_attribute("open", "")
    api.expect(choice.locator("summary")).to_be_focused()
    page.keyboard.press("?")
    api.expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    api.expect(page.locator("#keys")).not_to_be_visible()


def test_long_name_keeps_the_columns_in_sight(visit: Visit, queue: Server) -> None:
    """A name and an assignee of the greatest length are cut, with all of it in the title: on a wide
    screen the column Decision is seen, and no page is wider than its screen.
    """
    page = visit(server=queue).page
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/fails", f"/fails?q={LONG}", "/fails/job-2.60", "/fails/job-2.1"):
            page.goto(path)
            assert not is_too_wide(page), (path, width)
        page.goto("/fails")
        name = page.locator("#rows a.open").first
        assert name.get_attribute("title").startswith(LONG)
        assert name.bounding_box()["width"] < 200
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    box = page.locator("th", has_text="Decision").bounding_box()
    assert box["x"] + box["width"] <= WIDTHS[0]


def test_rows_come_on_a_narrow_screen(visit: Visit, queue: Server) -> None:
    """On a telephone too, the rows after the first hundred come while the list is scrolled."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=queue, viewport={"width": 420, "height": 900}).page
    page.goto("/fails")
    for place in (120, 240):
        page.locator("#rows tr").last.scroll_into_view_if_needed()
        row = page.locator(f"#rows tr[aria-rowindex='{place}']")
        api.expect(row).to_be_attached(timeout=60_000)
