"""The queue in a real Chromium: the window of rows, the keys, and two people at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk.conftest import Visit, add_blotter, many_fails
from tests.service.conftest import Server, start, stop

pytestmark = pytest.mark.slow
MANY, WINDOW = 1_000, 500


@pytest.fixture(scope="module")
def long_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two blotters; the queue of the newer one has ten pages."""
    running = start(tmp_path_factory.mktemp("queue"), "--guard", "off")
    add_blotter(running, many_fails(50))
    add_blotter(running, many_fails(MANY))
    yield running
    stop(running)


def places(page: Any) -> list[int]:
    """Return the places of the rows that are in the page."""
    found: list[int] = page.evaluate(
        "[...document.querySelectorAll('#rows tr')].map(r => r.ariaRowIndex - 1)"
    )
    return found


def scroll_to_end(page: Any, last: int) -> None:
    """Scroll down until the row with the place `last` is in the page."""
    for _ in range(last):
        page.evaluate("document.getElementById('queue-box').scrollBy(0, 3000)")
        page.wait_for_timeout(30)
        shown = places(page)
        assert len(shown) <= WINDOW
        assert shown == list(range(shown[0], shown[0] + len(shown)))
        if shown[-1] == last:
            return
    raise AssertionError(f"row {last} never came; the last is {places(page)[-1]}")


def test_window_keeps_the_page_small(visit: Visit, long_queue: Server) -> None:
    """At most 500 rows are in the page; their places are true, and what was selected stays so."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails")
    table = page.locator("#queue")
    api.expect(table).to_have_attribute("aria-rowcount", str(MANY + 1))
    page.locator("#rows input[name=fail]").first.check()
    scroll_to_end(page, MANY)
    assert places(page)[0] > MANY - WINDOW
    api.expect(page.locator("#selected")).to_have_text("1 selected:")
    assert page.evaluate("document.querySelectorAll('*').length") < 14_000
    page.evaluate("document.getElementById('queue-box').scrollTo(0, 0)")
    api.expect(page.locator("#rows tr[aria-rowindex='2'] input")).to_be_checked(timeout=20_000)
    assert places(page)[0] == 1
    assert len(places(page)) <= WINDOW


def test_scroll_bar_is_dragged_to_any_row(visit: Visit, long_queue: Server) -> None:
    """The bar covers the whole queue: where it is let go, the rows of that place come."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails")
    page.locator("#rows input[name=fail]").first.check()
    for part in (0.6, 0.97, 0.3, 0):
        page.evaluate(
            "part => { const box = document.getElementById('queue-box');"
            " box.scrollTop = part * box.scrollHeight; }",
            part,
        )
        row = page.locator(f"#rows tr[aria-rowindex='{round(part * MANY) + 3}']")
        api.expect(row).to_be_in_viewport(timeout=60_000)
        shown = places(page)
        assert shown == list(range(shown[0], shown[0] + len(shown)))
        assert len(shown) <= WINDOW
        api.expect(page.locator("#selected")).to_have_text("1 selected:")
    api.expect(page.locator("#rows input[name=fail]").first).to_be_checked()


def test_back_from_a_fail_returns_to_its_row(visit: Visit, long_queue: Server) -> None:
    """Back, and a reload, show the rows that were left, and the keys go on from there; a queue
    that is opened by its address begins with the first row.
    """
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails")
    page.evaluate("document.getElementById('queue-box').scrollTop = 20_000")
    first = page.locator("#rows tr").first
    api.expect(first).not_to_have_attribute("aria-rowindex", "2", timeout=60_000)
    name = page.locator("#rows a.open").nth(45).inner_text()
    page.locator("#rows a.open", has_text=name).click()
    page.wait_for_url("**/fails/job-2.*")
    page.go_back()
    again = page.locator("#rows a.open", has_text=name)
    api.expect(again).to_be_in_viewport(timeout=60_000)
    api.expect(again).to_be_focused()
    page.reload()
    api.expect(again).to_be_in_viewport(timeout=60_000)
    page.goto("/fails")
    api.expect(page.locator("#rows tr[aria-rowindex='2']")).to_be_in_viewport()


def test_keys_move_select_and_accept(visit: Visit, long_queue: Server) -> None:
    """`j` and `k` move, `x` selects, `/` goes to the filter, `a` accepts, Enter opens."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails?decided=none")
    names = page.locator("#rows a.open")
    first, second = names.nth(0).inner_text(), names.nth(1).inner_text()
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    api.expect(names.nth(1)).to_be_focused()
    page.keyboard.press("x")
    api.expect(page.locator("#selected")).to_have_text("1 selected:")
    page.keyboard.press("a")
    page.wait_for_url("**/fails?decided=none&said=accepted")
    api.expect(page.get_by_role("status").first).to_contain_text("accepted")
    assert names.nth(0).inner_text() == first
    assert names.nth(1).inner_text() != second
    page.keyboard.press("/")
    api.expect(page.locator("#q")).to_be_focused()
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    page.wait_for_url("**/fails?q=*")
    assert names.count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/fails/job-2.*")
    api.expect(page.locator("main")).to_contain_text(first)


def test_keys_assign_override_and_can_be_turned_off(visit: Visit, long_queue: Server) -> None:
    """`s` selects the row and goes to the assignee, `o` opens the override; off means off."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails?decided=none")
    page.keyboard.press("j")
    page.keyboard.press("s")
    api.expect(page.locator("#assign-to")).to_be_focused()
    page.keyboard.type("ben")
    page.get_by_role("button", name="Assign", exact=True).click()
    page.wait_for_url("**said=assigned*")
    page.goto("/fails?assignee=ben")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url("**/fails/job-2.*#override")
    page.goto("/fails")
    page.keyboard.press("?")
    page.get_by_role("button", name="Turn the keys off").click()
    page.wait_for_load_state()
    page.keyboard.press("?")
    page.keyboard.press("j")
    assert not page.locator("#keys").is_visible()
    assert page.evaluate("document.activeElement === document.body")


def test_double_click_is_one_decision(visit: Visit, long_queue: Server) -> None:
    """A button that is clicked twice sends its form once: the second would be refused."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue).page
    page.goto("/fails?q=Q-00990")
    page.locator("#rows input[name=fail]").first.check()
    is_stopped = page.evaluate(
        """() => {
            const found = [];
            window.addEventListener("submit", (event) => found.push(event.defaultPrevented));
            const button = document.querySelector("#selection button[value=accept]");
            button.click();
            button.click();
            return found;
        }"""
    )
    assert is_stopped == [False, True]
    notice = page.get_by_role("status").filter(
        has_text="answers of the selected fails are accepted"
    )
    api.expect(notice).to_be_visible()


def test_two_people_decide_about_one_fail(visit: Visit, long_queue: Server) -> None:
    """The second person sees that the fail has changed, and by whom; nothing is decided twice."""
    anna, ben = visit("analyst", long_queue), visit("operator", long_queue)
    for person in (anna, ben):
        person.page.goto("/fails?decided=none&order=rank")
        person.page.locator("#rows input[name=fail]").first.check()
    anna.page.get_by_role("button", name="Accept").click()
    anna.page.wait_for_url("**said=accepted*")
    ben.accepted.add(409)
    ben.page.get_by_role("button", name="Accept").click()
    ben.page.wait_for_load_state()
    refused = ben.page.locator("main")
    assert "0 fails are accepted. 1 fail stayed as it was" in refused.inner_text()
    assert "accepted by analyst" in refused.inner_text()


def test_queue_works_without_scripts(visit: Visit, long_queue: Server) -> None:
    """Filter, next page, selection and assignment need no JavaScript."""
    api = pytest.importorskip("playwright.sync_api")
    page = visit(server=long_queue, java_script_enabled=False).page
    page.goto("/fails")
    page.get_by_role("link", name="Next").click()
    page.wait_for_load_state()
    assert page.locator("#rows tr").first.get_attribute("aria-rowindex") == "102"
    page.locator("#rows input[name=fail]").nth(3).check()
    page.locator("#assign-to").fill("carl")
    page.get_by_role("button", name="Assign", exact=True).click()
    page.wait_for_load_state()
    assert "The fails are assigned." in page.inner_text("body")
    page.locator("#assignee").fill("carl")
    page.get_by_role("button", name="Filter").click()
    api.expect(page.locator("#rows tr")).to_have_count(
        1, timeout=60_000
    )  # waits until the page is whole
    page.get_by_role("link", name="Assignee: carl").click()
    api.expect(page.locator("#rows tr")).to_have_count(100, timeout=60_000)
