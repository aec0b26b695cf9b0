"""The walk of a desk's morning, by keyboard alone: find, read why, override, export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk.conftest import Visit, add_blotter
from tests.service.conftest import TOKENS, Server, start, stop
from tests.service.test_fails import BROKEN

pytestmark = pytest.mark.slow
MOST_TABS = 120
REASON = "Delivered by hand this morning."


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own: the walk decides about a fail."""
    running = start(tmp_path_factory.mktemp("morning"), "--guard", "off")
    add_blotter(running, BROKEN)
    yield running
    stop(running)


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until the element has the focus, as a person without a mouse does."""
    for _ in range(MOST_TABS):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab reaches {selector}")


def override(page: Any, scripts: bool) -> None:
    """Override the tier with a reason, and tick the rules that this breaks."""
    if scripts:
        page.keyboard.press("o")
        tab_to(page, "#override-tier")
        page.keyboard.type("L")
        tab_to(page, "#override-reason")
        page.keyboard.type(REASON)
        tab_to(page, "#override form > button")
    else:
        page.locator("#override > summary").press("Enter")
        page.locator("#override-tier").select_option("LOW")
        page.locator("#override-reason").fill(REASON)
        page.locator("#override form > button").focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    ticks = page.locator("input[name=acknowledge]")
    for number in range(ticks.count()):
        ticks.nth(number).focus()
        page.keyboard.press("Space")
    with page.expect_navigation():
        page.locator("#override form > button").press("Enter")


@pytest.mark.parametrize("scripts", [True, False])
def test_keyboard_alone_does_the_morning(visit: Visit, morning: Server, scripts: bool) -> None:
    """Without a mouse, and without scripts too: the most urgent fail is found, its reason read, an
    override with a reason made in spite of the rules that it breaks, and the list exported.
    """
    visitor = visit(server=morning, java_script_enabled=scripts)
    visitor.accepted.add(422)
    page = visitor.page
    page.goto("/sign-in")
    page.locator("#token:focus").wait_for()  # the field gets it with the first frame after the load
    page.keyboard.type(TOKENS["analyst"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    if scripts:
        page.keyboard.press("g")
        page.keyboard.press("q")
        page.wait_for_url("**/fails")
        page.keyboard.press("j")
    else:
        page.goto("/fails")
        page.locator("#rows a.open").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/fails/job-1.*")
    assert "overdue" in page.inner_text("main")
    assert page.get_by_role("link", name="regulatory").count() == 1
    override(page, scripts)
    assert REASON in page.inner_text("main")
    page.goto("/fails?decided=overridden")
    page.get_by_role("link", name="Export").last.press("Enter")
    page.wait_for_url("**/export?decided=overridden*")
    with page.expect_download() as waiting:
        page.locator("ul.downloads a[href*='format=csv']").press("Enter", timeout=8_000)
    content = waiting.value.path().read_text()
    assert REASON in content
