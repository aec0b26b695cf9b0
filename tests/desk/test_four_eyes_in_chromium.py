"""Two people decide about an override (`--four-eyes`), each in a browser of their own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk.conftest import Visit, add_blotter, many_fails
from tests.service.conftest import TOKENS, Server, start, stop
from tests.support.program import call_finops

pytestmark = pytest.mark.slow
REASON = "Delivered by hand this morning."


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service where an override needs two people; the analyst has a second token."""
    folder = tmp_path_factory.mktemp("pair")
    running = start(folder, "--guard", "off", "--four-eyes")
    made = call_finops("token", "new", "--name", "tablet", "--person", "Analyst", "--role",
                       "analyst", "-o", folder / "tokens.toml")  # fmt: skip
    assert made.returncode == 0, made.stderr
    TOKENS["tablet"] = made.stdout.decode().strip()
    add_blotter(running, many_fails(40))
    yield running
    del TOKENS["tablet"]
    stop(running)


def propose(page: Any, fail: str) -> None:
    """Override the tier with a reason, and tick each rule that this breaks."""
    page.goto(f"/fails/{fail}")
    page.locator("#override > summary").click()
    page.locator("#override-tier").select_option("LOW")
    page.locator("#override-reason").fill(REASON)
    page.get_by_role("button", name="Propose the override").click()
    page.wait_for_load_state()
    for tick in page.locator("input[name=acknowledge]").all():
        tick.check()
    page.get_by_role("button", name="Propose the override").click()
    page.wait_for_url("**said=decided-override#decide")


def export(page: Any, fail: str) -> dict[str, str]:
    """Download the queue as CSV, as the page of exports offers it; return the row of a fail."""
    page.goto("/export")
    with page.expect_download() as waiting:
        page.locator("ul.downloads a[href*='format=csv']").click()
    rows = csv.DictReader(io.StringIO(waiting.value.path().read_text("utf-8-sig")))
    return next(row for row in rows if row["fail_id"] == fail)


@pytest.mark.parametrize("has_scripts", [True, False])
def test_override_needs_the_second_person(visit: Visit, pair: Server, has_scripts: bool) -> None:
    """The engine's answer stands, in the queue and in an export, until another person accepts the
    proposal; its author cannot, not even with a second token. Then the page names both people.
    """
    api = pytest.importorskip("playwright.sync_api")
    number = 13 if has_scripts else 27
    fail, name = f"job-1.{number + 1}", f"Q-{number:05d}"
    options = {"server": pair, "java_script_enabled": has_scripts}
    anna, tablet, ben = (visit(who, **options) for who in ("analyst", "tablet", "operator"))
    for each in (anna, tablet, ben):
        each.accepted.add(422)
    propose(anna.page, fail)
    for own in (anna.page, tablet.page):
        own.goto(f"/fails/{fail}")
        decide = own.locator("#decide")
        api.expect(decide).to_contain_text("the answer of finops stands till then")
        api.expect(decide).to_contain_text("another person must accept it")
        assert own.get_by_role("button", name="Accept the proposal").count() == 0
    row = export(anna.page, name)
    assert (row["tier"], row["decision"]) == ("CRITICAL", "an override is proposed")
    ben.page.goto("/")
    ben.page.get_by_role("listitem").filter(has_text="wait for a second person").locator(
        "a"
    ).click()
    api.expect(ben.page.locator("#rows")).to_contain_text("proposed")
    ben.page.locator("#rows a.open", has_text=name).click()
    api.expect(ben.page.locator("#decide")).to_contain_text(REASON)
    if has_scripts:
        ben.page.wait_for_load_state()  # its words are there before the scripts that know keys
        ben.page.keyboard.press("a")
        accept = ben.page.get_by_role("button", name="Accept the proposal")
        api.expect(accept).to_be_focused()
        ben.page.keyboard.press("Enter")
    else:
        ben.page.get_by_role("button", name="Accept the proposal").press("Enter")
    ben.page.wait_for_url("**said=decided-accept#decide")
    told = re.compile("Overridden by analyst, .*, and accepted by operator")
    api.expect(ben.page.locator("#decide")).to_contain_text(told)
    history = ben.page.locator("#decisions")
    api.expect(history).to_contain_text("operator accepted the override (proposal 1)")
    api.expect(history).to_contain_text("analyst proposed an override accepted")
    row = export(ben.page, name)
    assert row["tier"] == "CRITICAL", "the answer of finops never changes"
    assert row["decision"] == "overridden: tier LOW, accepted by operator"
    assert (row["decided_by"], row["decision_reason"]) == ("analyst", REASON)


@pytest.mark.parametrize("has_scripts", [True, False])
def test_proposal_is_withdrawn_or_declined(visit: Visit, pair: Server, has_scripts: bool) -> None:
    """Its author withdraws a proposal, another person declines it, each with a reason; the history
    says which, and the engine's answer stands.
    """
    api = pytest.importorskip("playwright.sync_api")
    fail = "job-1.31" if has_scripts else "job-1.33"
    options = {"server": pair, "java_script_enabled": has_scripts}
    anna, ben = (visit(who, **options) for who in ("analyst", "operator"))
    anna.accepted.add(422)
    for page, button, said in (
        (anna.page, "Withdraw", "analyst withdrew the proposal"),
        (ben.page, "Decline", "operator declined the proposal"),
    ):
        propose(anna.page, fail)
        page.goto(f"/fails/{fail}")
        page.locator(".proposal textarea").fill("It came back.")
        page.get_by_role("button", name=button).click()
        page.wait_for_url("**said=decided-decline#decide")
        api.expect(page.locator("#decisions")).to_contain_text(said)
        api.expect(page.locator("#decide")).to_contain_text("the answer of finops stands")


def test_two_people_answer_a_proposal_at_once(visit: Visit, pair: Server) -> None:
    """The second of them sees both versions, and nothing of theirs is stored; the keys and the
    boxes of the queue accept no answer past a proposal.
    """
    api = pytest.importorskip("playwright.sync_api")
    anna, ben = (visit(who, server=pair) for who in ("analyst", "operator"))
    for each in (anna, ben):
        each.accepted |= {409, 422}
    propose(anna.page, "job-1.21")
    for each in (anna, ben):
        each.page.goto("/fails/job-1.21")
    anna.page.locator(".proposal textarea").fill("My mistake.")
    anna.page.get_by_role("button", name="Withdraw").click()
    anna.page.wait_for_url("**said=decided-decline#decide")
    ben.page.get_by_role("button", name="Accept the proposal").click()
    api.expect(ben.page.get_by_role("alert")).to_contain_text("Nothing of yours was stored")
    api.expect(ben.page.locator("main")).to_contain_text("analyst withdrew the proposal")
    api.expect(ben.page.locator("main")).to_contain_text("No proposal waits any more")
    propose(anna.page, "job-1.21")
    ben.page.goto("/fails?q=Q-00020")
    ben.page.locator("#rows a.open").focus()
    ben.page.keyboard.press("a")
    api.expect(ben.page.locator("main")).to_contain_text("an override waits for a second person")
    with pair.client() as client:
        made = client.get("/v1/fails/job-1.21").json()["decisions"]
    assert [each["kind"] for each in made] == ["override", "decline", "override"]
