"""One fail in a real Chromium: by keys, without scripts, accessible in each of its forms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from finops_cli.service.desk.fail.coverage_chart import SHOWN_STEPS
from tests.desk.conftest import Visit, craft_fails, sign_in
from tests.desk.test_decide import done, place_of
from tests.desk.test_fail_page import CRAFTED, MANY_STEPS, PLAN, book, line_of
from tests.service.conftest import Server, start, stop
from tests.support.browsers import AUDITED_WIDTHS, SCHEMES, is_too_wide, list_violations

pytestmark = pytest.mark.slow
__all__ = ["book"]
COUNT = 36
EVIL = f"job-1.{COUNT + 1}"
"""The fail whose name is HTML: the first of the unusual ones."""
LONG = line_of("C-LONG", resolution=PLAN | {"resolution_steps": MANY_STEPS[: 2 * SHOWN_STEPS]})
"""A plan of which half the steps are folded; axe takes its time for each step."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with fails that nobody decided about, and others that are unusual."""
    folder = tmp_path_factory.mktemp("fresh")
    craft_fails(folder / "data", COUNT, [*CRAFTED, LONG])
    running = start(folder, "--guard", "off", "--four-eyes")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def triples() -> Iterator[tuple[str, str, str]]:
    """The names of Monday's first three fails, again and again."""
    return ((f"D-{first}", f"D-{first + 1}", f"D-{first + 2}") for first in range(1, COUNT, 3))


@pytest.fixture
def fails(triples: Iterator[tuple[str, str, str]]) -> tuple[str, str, str]:
    """The names of three fails of `fresh` that nobody decided about."""
    return next(triples)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pages_of_a_fail_are_accessible(
    visit: Visit, fresh: Server, fails: tuple[str, str, str], scheme: str
) -> None:
    """A long plan, a fallback, HTML, broken rules, a proposal, a conflict: axe finds nothing."""
    with sign_in(fresh) as other:
        fields = {"kind": "override", "action": "ESCALATE", "reason": "call them"}
        done(other, fails[1], **fields, acknowledge=["triage.action"])
    page = visit("operator", server=fresh, color_scheme=scheme).page
    for path in (EVIL, "C-LONG", "C-FALLBACK", "C-FAILED", "C-OLD", fails[1]):
        for width in AUDITED_WIDTHS[scheme]:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"/fails/{path}")
            assert list_violations(page) == [], f"{path} at {width}"
            assert not is_too_wide(page), f"{path} at {width}"
    page.goto(f"/fails/{fails[0]}")
    page.locator(".override > summary").click()
    page.locator(".steps > summary").click()
    assert list_violations(page) == []
    assert not is_too_wide(page)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pool_and_queue_of_a_book_are_accessible(visit: Visit, book: Server, scheme: str) -> None:
    """The picture of a pool, and the queue on the page of its fail."""
    page = visit("reader", server=book, color_scheme=scheme).page
    for path in ("/pools/594918104", "/fails/B-3"):
        for width in AUDITED_WIDTHS[scheme]:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path)
            assert list_violations(page) == [], f"{path} at {width}"
            assert not is_too_wide(page), f"{path} at {width}"
    assert page.locator("svg.picture.narrow").count() == 0
    page.set_viewport_size({"width": 420, "height": 900})
    page.goto("/pools/594918104")
    assert page.locator("svg.picture.narrow").is_visible()
    assert not page.locator("svg.picture.wide").is_visible()


def test_person_overrides_by_keys_alone(
    visit: Visit, fresh: Server, fails: tuple[str, str, str]
) -> None:
    """`o`, a tier, a reason, Enter; the broken rules are ticked with the space bar."""
    visitor = visit(server=fresh)
    visitor.accepted = {422}
    page, keys = visitor.page, visitor.page.keyboard
    page.goto(f"/fails/{fails[0]}")
    keys.press("o")
    page.wait_for_selector("#override-tier:focus")
    keys.type("Low")
    page.locator("#override-reason").focus()
    keys.type("the box is on its way")
    keys.press("Tab")
    keys.press("Enter")
    ticks = page.locator("input[name=acknowledge]")
    page.wait_for_selector("fieldset.broken")
    page.wait_for_load_state()  # till then the page may set the focus itself
    assert list_violations(page) == []
    for tick in ticks.all():
        tick.focus()
        keys.press("Space")
    page.locator(".override button.primary").focus()
    keys.press("Enter")
    page.wait_for_url(f"**/fails/{place_of(fails[0])}?said=decided-override#decide")
    assert page.locator("#decide").get_by_text("An override waits").is_visible()


def test_keys_accept_assign_and_comment(
    visit: Visit, fresh: Server, fails: tuple[str, str, str]
) -> None:
    """`s` and `c` go to their fields, `a` accepts; a letter in a field, or after `g`, does not."""
    page = visit(server=fresh).page
    page.goto(f"/fails/{fails[0]}")
    page.keyboard.press("c")
    page.keyboard.type("a note")
    assert page.locator("#comment").input_value() == "a note"
    page.locator("h1").click()
    page.keyboard.press("s")
    assert page.evaluate("document.activeElement.id") == "assignee"
    page.locator("h1").click()
    page.keyboard.press("g")
    page.keyboard.press("a")
    assert "said" not in page.url
    page.fill("#comment", "")  # words that are not sent would keep the key from sending
    page.locator("h1").click()
    page.keyboard.press("a")
    page.wait_for_url("**said=decided-accept#decide")


def test_queue_leads_to_the_forms(visit: Visit, fresh: Server, fails: tuple[str, str, str]) -> None:
    """The addresses that the queue uses open the override, and go to the comment."""
    page = visit(server=fresh).page
    page.goto(f"/fails/{fails[0]}#override")
    page.wait_for_selector("#override-tier:focus")
    page.goto(f"/fails/{fails[1]}#comment")
    page.wait_for_selector("#comment:focus")


def test_fail_is_decided_without_scripts(
    visit: Visit, fresh: Server, fails: tuple[str, str, str]
) -> None:
    """Accept, comment, and the letters as texts to select: all without JavaScript."""
    page = visit(server=fresh, java_script_enabled=False).page
    page.goto(f"/fails/{fails[0]}")
    page.locator(".letter > summary").first.click()
    assert page.locator("textarea.letter-text").first.is_visible()
    assert page.locator("button.copy").first.is_hidden()
    page.locator("#comment").fill("without scripts")
    page.get_by_role("button", name="Add the comment").click()
    page.wait_for_load_state()
    assert page.get_by_text("without scripts").first.is_visible()
    page.get_by_role("button", name="Accept the answer").click()
    page.wait_for_load_state()
    assert page.locator("#decide").get_by_text("Accepted").is_visible()


def test_letter_is_copied(visit: Visit, fresh: Server, fails: tuple[str, str, str]) -> None:
    """The button copies the whole letter."""
    visitor = visit(server=fresh, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    page.goto(f"/fails/{fails[0]}")
    page.locator(".letter > summary").first.click()
    button = page.locator("button.copy").first
    button.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("To: [FILL IN: name of the recipient], DTC participant DTC-0161")


def test_two_people_meet_on_one_fail(
    visit: Visit, fresh: Server, fails: tuple[str, str, str]
) -> None:
    """Two browsers at once: the second sees both versions, keeps its words, and sends them."""
    visitor = visit(server=fresh)
    visitor.accepted = {409}
    mine, theirs = visitor.page, visit("operator", server=fresh).page
    for page in (mine, theirs):
        page.goto(f"/fails/{fails[2]}")
    theirs.get_by_role("button", name="Assign to me").click()
    theirs.wait_for_url("**said=decided-assign#decide")
    mine.locator("#comment").fill("they said Friday")
    with mine.expect_response("**/decide") as answer:
        mine.get_by_role("button", name="Add the comment").click()
    assert answer.value.status == 409
    assert list_violations(mine) == []
    assert mine.get_by_text("Assigned to operator").count() == 1
    assert mine.locator("#comment").input_value() == "they said Friday"
    mine.get_by_role("button", name="Add the comment").click()
    mine.wait_for_url("**said=decided-comment#decide")
