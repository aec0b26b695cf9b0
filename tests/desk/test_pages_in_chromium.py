"""Every page in a real Chromium: no error, no other host, accessible, and narrow enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk.conftest import Visit
from tests.service.conftest import TOKENS, Server
from tests.support.browsers import AUDITED_WIDTHS, SCHEMES, Visitor, is_too_wide, list_violations

pytestmark = pytest.mark.slow
PAGES = (
    "/",
    "/fails",
    "/upload",
    "/jobs",
    "/jobs/job-1",
    "/fails/F-1001",
    "/fails/F-BAD",
    "/export",
    "/rules",
    "/rules?q=close-out",
    "/rules/score.age_factor",
    "/help",
    "/docs",
    "/monitor",
    "/audit?verify=yes",
)
"""The pages that anybody who has signed in may see. A new page gets its line here."""


@pytest.fixture(scope="module")
def visit_once(chromium: Any, desk: Server) -> Iterator[Visit]:
    """Open one window of an admin for each set of options, for all tests."""
    opened: dict[str, Visitor] = {}

    def visit_as_before(**options: Any) -> Visitor:
        name = repr(options)
        if name not in opened:
            opened[name] = Visitor(chromium, desk.url, **options)
            opened[name].sign_in(TOKENS["admin"])
        return opened[name]

    yield visit_as_before
    for visitor in opened.values():
        visitor.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", PAGES)
def test_page_is_accessible(visit_once: Visit, path: str, scheme: str) -> None:
    """A page breaks no rule of axe, wide and narrow, and does not scroll sideways on a phone."""
    visitor = visit_once(color_scheme=scheme)
    page = visitor.page
    for width in AUDITED_WIDTHS[scheme]:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path)
        assert list_violations(page) == [], f"{path} at {width}"
        assert not is_too_wide(page), f"{path} at {width}"
    visitor.check()


@pytest.mark.parametrize("path", ["/jobs", "/audit"])
def test_row_of_a_table_stays_low_on_a_phone(visit: Visit, path: str) -> None:
    """A narrow page scrolls its table, and does not break each word into a tower of letters."""
    page = visit("admin").page
    page.set_viewport_size({"width": 420, "height": 900})
    page.goto(path)
    heights = page.evaluate("[...document.querySelectorAll('tbody tr')].map(r => r.offsetHeight)")
    assert 0 < max(heights) <= 100


def test_navigation_of_an_admin_is_one_row(visit: Visit) -> None:
    """The links of nine pages fit into one row of a small screen."""
    page = visit("admin").page
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto("/jobs")
    tops = page.evaluate("[...document.querySelectorAll('#menu li')].map(l => l.offsetTop)")
    assert len(tops) > 8
    assert len(set(tops)) == 1


def test_sign_in_form_is_accessible(visit: Visit, desk: Server) -> None:
    """The form breaks no rule of axe, and its key begins in the field."""
    page = visit().open_tab()
    page.goto("/sign-in")
    assert list_violations(page) == []
    page.locator("#token:focus").wait_for()
    assert page.evaluate("document.activeElement.id") == "token"


def test_link_of_another_site_opens_the_page(visit: Visit, desk: Server) -> None:
    """A link that a colleague sent opens, although the cookie is strict: no form in between."""
    visitor = visit()
    page = visitor.page
    page.goto("/")
    page.set_content(f'<a href="{desk.url}/?view=mine">a link</a>')
    page.click("a")
    page.wait_for_url("**/?view=mine")
    assert page.title() == "Today \N{MIDDLE DOT} finops"


@pytest.mark.parametrize("path", PAGES)
def test_page_works_without_scripts(visit_once: Visit, path: str) -> None:
    """A page is whole without JavaScript."""
    visitor = visit_once(java_script_enabled=False)
    page = visitor.page
    page.goto(path)
    assert page.locator("main h1").count() == 1
    has_navigation = not path.startswith("/problems/")  # nobody signs in to read about an error
    assert (page.locator("nav a").count() >= 1) == has_navigation
    visitor.check()


def test_keys_open_the_list_and_go(visit: Visit) -> None:
    """`?` lists the keys, `g t` goes to today; keys that are typed into a field do nothing."""
    page = visit().page
    page.goto("/?x=1")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/")


def test_moment_is_in_the_zone_of_the_reader(visit: Visit) -> None:
    """A moment is written in the reader's zone and locale; its title keeps UTC."""
    page = visit(timezone_id="America/New_York").page
    page.goto("/")
    moment = page.locator("time[data-moment]").first
    assert moment.get_attribute("title").endswith("UTC")
    assert "UTC" not in moment.inner_text()
