"""A real Chromium for tests of the desk, and what every page must keep.

Under the policy of the pages `page.wait_for_function("...")` cannot work; use `expect(locator)`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium")
SCHEMES = ("light", "dark")
AUDITED_WIDTHS = {"light": (1440, 420), "dark": (1440,)}
"""Widths at which axe looks at a page, by scheme: dark pages differ in their colours alone."""
WIDTHS = (1440, 1024, 420)
_HEIGHT = 900
_STATUS = re.compile(r"status of (\d+)")


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Start Chromium; skip the test where it or playwright is not installed."""
    api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visitor:
    """One person's browser: its own cookies, and a record of what went wrong on its pages."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        """Open it. `options` are those of a Playwright context."""
        given = {"viewport": {"width": WIDTHS[0], "height": _HEIGHT}, "locale": "en-US"}
        self.context = browser.new_context(base_url=url, **(given | options))
        self.url = url
        self.accepted: set[int] = set()
        """Statuses of errors that the test causes."""
        self._wrong: list[str] = []
        self.page = self.open_tab()

    def open_tab(self) -> Any:
        """Open a page that is watched."""
        page = self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._wrong.append(f"error in a script: {error}"))
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failure)
        return page

    def sign_in(self, token: str) -> Any:
        """Open the start link with `token`, and return the page."""
        self.page.goto(f"/?token={token}")
        return self.page

    def enter(self, token: str) -> None:
        """Sign in with `token` as the form does, without a page: no page is open afterwards."""
        form, own = {"token": token, "next": "/"}, {"Sec-Fetch-Site": "same-origin"}
        answer = self.context.request.post("/sign-in", form=form, headers=own, max_redirects=0)
        assert answer.status == 303, answer.text()

    def check(self) -> None:
        """Assert that no page had an error, asked another host, or failed to load something."""
        assert self._wrong == []

    def close(self) -> None:
        """Close the browser's window."""
        self.context.close()

    def _on_console(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        status = _STATUS.search(message.text)
        if status is None or int(status[1]) not in self.accepted:
            self._wrong.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:")):
            self._wrong.append(f"a request to another host: {urlsplit(request.url).netloc}")

    def _on_failure(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left ends its requests
            self._wrong.append(f"failed: {request.url} {request.failure}")


def list_violations(page: Any) -> list[str]:
    """Return the rules of accessibility that the page breaks, each with its first elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: " + " | ".join(node["html"] for node in each["nodes"][:3])
        for each in found
    ]


def is_too_wide(page: Any) -> bool:
    """Return true where the page itself, not a table in it, scrolls sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width > page.viewport_size["width"]
