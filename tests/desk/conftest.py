"""A service with Monday's blotter, and people who have signed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import HAS_PACKAGES, TOKENS, Server, start, stop
from tests.support.browsers import Visitor, open_chromium
from tests.support.crafted_jobs import craft_job
from tests.support.records import a_fail

HERE = Path(__file__).parent
collect_ignore = [] if HAS_PACKAGES else [each.name for each in HERE.glob("test_*.py")]
"""The tests that need the extra `serve`; `.ci/run` installs it for the slow tests."""
PAGE = {"Accept": "text/html,application/xhtml+xml"}
"""The types that a browser accepts."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose newest job is Monday's blotter with a record that cannot be used."""
    from tests.service.test_fails import BROKEN

    running = start(tmp_path_factory.mktemp("desk"), "--guard", "off")
    add_blotter(running, BROKEN)
    yield running
    stop(running)


def add_blotter(server: Server, content: bytes) -> str:
    """Run a job on `content` and return its id."""
    from tests.service.test_jobs import begin, finish, upload

    with server.client("operator") as client:
        job = finish(client, begin(client, "run", upload(client, content)))
    assert job["state"] == "completed"
    return str(job["id"])


def many_fails(count: int, first: int = 0) -> bytes:
    """Return a blotter of fails that differ in name, age and value."""
    records = (
        a_fail(
            fail_id=f"Q-{number:05d}",
            age_days=number % 14,
            market_value=1_000 * (number * 7919 % 10_000),
        )
        for number in range(first, first + count)
    )
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def craft_fails(folder: Path, count: int, more: Sequence[bytes] = ()) -> None:
    """Store a job with `count` fails, D-1 in the first line, and then the lines `more`.

    The fails are Monday's first three, again and again.
    """
    from tests.desk.test_fail_values import LINES, RECORDS

    names = [f"D-{number}" for number in range(1, count + 1)]

    def rename(three: Sequence[bytes]) -> list[bytes]:
        return [
            three[number % 3].replace(b"F-100%d" % (number % 3 + 1), name.encode())
            for number, name in enumerate(names)
        ]

    craft_job(folder, [*rename(LINES), *more], rename(RECORDS))


@contextmanager
def sign_in(server: Server, role: str = "analyst", **headers: str) -> Iterator[httpx.Client]:
    """Open a browser without scripts that has signed in."""
    with open_browser(server, **headers) as browser:
        answer = browser.post("/sign-in", data={"token": TOKENS[role], "next": "/"})
        assert answer.status_code == 303, answer.text
        yield browser


def open_browser(server: Server, **headers: str) -> httpx.Client:
    """Return a browser without scripts and without a session. It does not follow redirects."""
    given = PAGE | {"Sec-Fetch-Site": "same-origin"} | headers
    return httpx.Client(base_url=server.url, headers=given, timeout=30)


@pytest.fixture
def analyst(desk: Server) -> Iterator[httpx.Client]:
    """A signed-in analyst."""
    with sign_in(desk) as browser:
        yield browser


Visit = Callable[..., Visitor]
"""Opens a browser of a person: `visit("analyst", color_scheme="dark")`."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser, started once."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Any, desk: Server) -> Iterator[Visit]:
    """Open windows of people who have signed in; at the end, each of them had no error."""
    opened: list[Visitor] = []

    def visit_as(role: str = "analyst", server: Server = desk, **options: Any) -> Visitor:
        visitor = Visitor(chromium, server.url, **options)
        opened.append(visitor)
        visitor.enter(TOKENS[role])
        return visitor

    yield visit_as
    for visitor in opened:
        visitor.check()
        visitor.close()
