"""Deciding in the desk: plain forms, checked as the API checks them, and nothing typed is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.desk.conftest import craft_fails, sign_in
from tests.desk.test_fail_page import EVIL, SHOWN, get
from tests.service.conftest import Server, start, stop

pytestmark = pytest.mark.slow
COUNT = 60


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with many fails."""
    folder = tmp_path_factory.mktemp("decide")
    craft_fails(folder / "data", COUNT)
    running = start(folder, "--guard", "off")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    """The names of fails with a plan of steps: the first of three."""
    return (f"D-{number}" for number in range(1, COUNT, 3))


@pytest.fixture
def fail(names: Iterator[str]) -> str:
    """The name of a fail of `fresh` that nobody decided about."""
    return next(names)


def place_of(fail: str) -> str:
    """Return the address of a fail of `craft_fails`, whose name has the number of its line."""
    return f"job-1.{fail.removeprefix('D-')}"


def version_of(text: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', text)
    assert found is not None
    return found[1]


def decide(browser: httpx.Client, fail: str, **fields: Any) -> httpx.Response:
    """Send a form of the page of a fail, as a browser does."""
    fields = {"version": version_of(get(browser, f"/fails/{fail}"))} | fields
    return browser.post(f"/fails/{fail}/decide", data=fields)


def done(browser: httpx.Client, fail: str, **fields: Any) -> str:
    """Send a form that is accepted; return the page that follows."""
    answer = decide(browser, fail, **fields)
    assert answer.status_code == 303, answer.text[:2000]
    target = answer.headers["location"]
    assert target == f"/fails/{place_of(fail)}?said=decided-{fields['kind']}#decide"
    return get(browser, target.partition("#")[0])


def test_each_kind_of_decision_is_made(fresh: Server, fail: str) -> None:
    """Accept, assign, comment, close and reopen: the page says what stands."""
    with sign_in(fresh) as browser:
        assert "<strong>Accepted</strong> by analyst" in done(browser, fail, kind="accept")
        text = done(browser, fail, kind="assign", assignee="Ben")
        assert "Assigned to <strong>Ben</strong>" in text
        assert "Assigned to nobody" in done(browser, fail, kind="assign", assignee="")
        assert "called the box" in done(browser, fail, kind="comment", comment="called the box")
        assert "<strong>Closed.</strong>" in done(browser, fail, kind="close")
        text = done(browser, fail, kind="reopen")
        assert "<strong>Closed.</strong>" not in text
        assert "The fail is open again." in text
        assert text.count('<li value="') == 6


def test_override_shows_broken_rules_until_they_are_ticked(fresh: Server, fail: str) -> None:
    """Each broken rule is shown with its message; what was typed is still there; a tick decides."""
    with sign_in(fresh) as browser:
        fields = {"kind": "override", "tier": "LOW", "reason": "the box is on its way <b>"}
        answer = decide(browser, fail, **fields)
        assert answer.status_code == 422
        text = answer.text
        for rule in ("tier.band", "tier.escalation", "triage.lifecycle"):
            assert f'name="acknowledge" value="{rule}"' in text
        assert "the box is on its way &lt;b&gt;</textarea>" in text
        assert '<option value="LOW" selected>' in text
        answer = decide(browser, fail, **fields, acknowledge=["tier.band"])
        assert answer.status_code == 422
        assert 'value="tier.band" checked' in answer.text
        rules = ["tier.band", "tier.escalation", "triage.lifecycle"]
        text = done(browser, fail, **fields, acknowledge=rules)
        assert "overridden to low" in text
        assert "83.2" in text, "the engine's answer stays"
        assert 'href="/rules/tier.band"' in text


def test_override_needs_a_reason_and_a_change(fresh: Server, fail: str) -> None:
    """Without a reason, or without anything that changes, the form comes back with the words."""
    with sign_in(fresh) as browser:
        answer = decide(browser, fail, kind="override", tier="LOW", reason="  ")
        assert (answer.status_code, "reason is missing" in answer.text) == (422, True)
        answer = decide(browser, fail, kind="override", reason="why not")
        assert (answer.status_code, "tier is missing" in answer.text) == (422, True)
        assert "why not</textarea>" in answer.text


def test_override_of_steps_is_checked(fresh: Server, fail: str) -> None:
    """Other steps are a plan that the rules check: the sums that do not fit are shown."""
    with sign_in(fresh) as browser:
        fields = {
            "kind": "override", "reason": "one call is enough", "step.0.action": "CHASE_FTR",
            "step.0.dtc": "DTC-0161", "step.0.qty": "12,000", "step.0.settlement_type": "RVP",
            "step.0.settlement_date": "T+1", "step.0.rationale": "they answer the phone",
        }  # fmt: skip
        answer = decide(browser, fail, **fields)
        assert answer.status_code == 422
        rules = re.findall(r'name="acknowledge" value="([^"]+)"', answer.text)
        assert "plan.total" in rules
        assert "they answer the phone" in answer.text
        text = done(browser, fail, **fields, acknowledge=rules)
        assert "1 step in place of the plan" in text


def test_old_version_shows_both_and_keeps_what_was_typed(fresh: Server, fail: str) -> None:
    """409: what I saw and what stands now, beside each other, and my words in the form."""
    with sign_in(fresh) as mine, sign_in(fresh, "operator") as theirs:
        seen = version_of(get(mine, f"/fails/{fail}"))
        done(theirs, fail, kind="accept", comment="fine with me")
        fields = {"kind": "override", "tier": "HIGH", "reason": "my long reason"}
        answer = decide(mine, fail, version=seen, **fields)
        assert answer.status_code == 409
        text = answer.text
        for part in (
            "You looked at version 0",
            "Now it is version 1",
            "Nobody decided yet",
            "<strong>Accepted</strong> by operator",
            "fine with me",
            "my long reason</textarea>",
            '<option value="HIGH" selected>',
        ):
            assert part in text, part
        again = version_of(text)
        answer = decide(mine, fail, version=again, **fields)
        assert answer.status_code == 422, "it goes on where it was: the rules are next"
        with fresh.client() as client:
            assert len(client.get(f"/v1/fails/{fail}").json()["decisions"]) == 1


def test_conflict_keeps_the_ticks_of_broken_rules(fresh: Server, fail: str) -> None:
    """A person who ticked rules, and was late, has only to send the form again."""
    rules = ["tier.band", "tier.escalation", "triage.lifecycle"]
    fields = {"kind": "override", "tier": "LOW", "reason": "agreed", "acknowledge": rules}
    with sign_in(fresh) as mine, sign_in(fresh, "operator") as theirs:
        seen = version_of(get(mine, f"/fails/{fail}"))
        done(theirs, fail, kind="comment", comment="look at this one")
        answer = decide(mine, fail, version=seen, **fields)
        assert answer.status_code == 409
        kept = re.findall(r'name="acknowledge" value="([^"]+)" checked', answer.text)
        assert kept == rules
        done(mine, fail, **fields | {"acknowledge": kept, "version": version_of(answer.text)})


def test_other_faults_keep_the_ticks_of_broken_rules(fresh: Server, fail: str) -> None:
    """A form that comes back for a missing reason has its ticks."""
    fields = {"kind": "override", "tier": "LOW", "reason": " ", "acknowledge": ["tier.band"]}
    with sign_in(fresh) as browser:
        answer = decide(browser, fail, **fields)
        assert (answer.status_code, "reason is missing" in answer.text) == (422, True)
        assert 'name="acknowledge" value="tier.band" checked' in answer.text


def test_old_comment_and_assignment_are_kept_too(fresh: Server, fail: str) -> None:
    """Whatever the form was, its words are in the page of the conflict."""
    with sign_in(fresh) as browser:
        done(browser, fail, kind="close")
        for fields in (
            {"kind": "comment", "comment": "my words"},
            {"kind": "assign", "assignee": "my words"},
            {"kind": "accept", "comment": "my words"},
            {"kind": "decline", "of": "7", "reason": "my words"},
        ):
            answer = decide(browser, fail, version="0", **fields)
            assert answer.status_code == 409, fields
            assert "my words" in answer.text, fields


def test_form_that_is_sent_twice_counts_once(fresh: Server, fail: str) -> None:
    """A double click makes one decision; a changed form under the same key is another one."""
    with sign_in(fresh) as browser:
        fields = {"kind": "comment", "comment": "once", "key": "k-1", "version": "0"}
        for _ in range(2):
            assert decide(browser, fail, **fields).status_code == 303
        assert get(browser, f"/fails/{fail}").count("commented") == 1
        fields |= {"comment": "twice", "version": "1"}
        assert decide(browser, fail, **fields).status_code == 303
        assert get(browser, f"/fails/{fail}").count("commented") == 2


def test_admin_deletes_a_decision(fresh: Server, fail: str) -> None:
    """The decision before applies again, and the audit log keeps who deleted what; nobody else is
    shown the button, or may send its form.
    """
    place = f"/fails/{place_of(fail)}"
    delete = f"{place}/decisions/2/delete"
    with sign_in(fresh) as browser, sign_in(fresh, "admin") as admin:
        done(browser, fail, kind="accept")
        text = done(browser, fail, kind="override", action="ESCALATE", reason="call them",
                    acknowledge=["triage.action"])  # fmt: skip
        assert "/delete" not in text
        assert browser.post(delete).status_code == 403
        assert f'action="{delete}"' in get(admin, f"/fails/{fail}")
        answer = admin.post(delete)
        assert answer.headers["location"] == f"{place}?said=decision-deleted#decisions"
        text = get(admin, f"{place}?said=decision-deleted")
        assert "The decision is deleted" in text
        assert "<strong>Accepted</strong> by analyst" in text
        assert admin.post(delete).status_code == 404
        assert "delete_decision" in get(admin, "/audit?action=delete_decision")


def test_names_of_the_desk_are_offered(fresh: Server, fail: str) -> None:
    """A field for a name offers who may decide, and who has a fail; no others."""
    with sign_in(fresh) as browser:
        done(browser, fail, kind="assign", assignee="Ben of the box")
        for path in ("/fails/D-2", "/fails"):
            [offered] = re.findall(r'<datalist id="people">(.*?)</datalist>', get(browser, path))
            names = re.findall(r'value="([^"]*)"', offered)
            assert names == ["Ben of the box", "admin", "analyst", "operator"]
            assert 'list="people"' in get(browser, path)
        done(browser, fail, kind="assign", assignee="")


def test_reader_sees_no_form_and_posts_nothing(fresh: Server, fail: str) -> None:
    """The role reader has no form, and a form that is sent anyway is refused."""
    with sign_in(fresh, "reader") as browser:
        text = get(browser, f"/fails/{fail}")
        assert "decides nothing" in text
        assert "/decide" not in text
        answer = browser.post(f"/fails/{fail}/decide", data={"kind": "accept", "version": "0"})
        assert answer.status_code == 403
    with fresh.client() as client:
        assert client.get(f"/v1/fails/{fail}").json()["decisions"] == []


def test_foreign_page_and_other_bodies_are_refused(fresh: Server, fail: str) -> None:
    """A form of another site, JSON, a giant and an unknown kind decide nothing."""
    with sign_in(fresh) as browser:
        path, data = f"/fails/{fail}/decide", {"kind": "accept"}
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert browser.post(path, data=data, headers=foreign).status_code == 403
        assert browser.post(path, json=data).status_code == 415
        giant = {"kind": "comment", "comment": "x" * 300_000}
        assert browser.post(path, data=giant).status_code == 413
        assert browser.post(path, data={"kind": "delete"}).status_code == 422
        assert browser.post("/fails/F-9/decide", data=data).status_code == 404
        answer = decide(browser, fail, kind="comment", comment="x" * 5_000)
        assert (answer.status_code, "4,000" in answer.text) == (422, True)
    with fresh.client() as client:
        assert client.get(f"/v1/fails/{fail}").json()["decisions"] == []


def test_words_of_people_stay_text(fresh: Server, fail: str) -> None:
    """Markup and formulas in every field of a form are shown as they are, and do nothing."""
    with sign_in(fresh) as browser:
        done(browser, fail, kind="comment", comment=EVIL)
        done(browser, fail, kind="assign", assignee=EVIL[:90])
        fields = {"kind": "override", "action": "ESCALATE", "reason": EVIL}
        rules = re.findall(
            r'name="acknowledge" value="([^"]+)"', decide(browser, fail, **fields).text
        )
        text = done(browser, fail, **fields, acknowledge=rules)
        assert text.count(SHOWN) >= 5
        assert "<script>alert" not in text
        assert "<img" not in text
        done(browser, fail, kind="assign", assignee="")


def test_steps_of_a_program_are_shown_whatever_they_hold(fresh: Server, fail: str) -> None:
    """A step that the API took, without an action or of another shape, does not break the page."""
    with fresh.client() as client:
        body = {
            "kind": "override",
            "reason": "x",
            "steps": [{"x": [1]}, {"action": 5, "qty": EVIL}],
        }
        answer = client.post(f"/v1/fails/{fail}/decisions", json=body)
        rules = [each["rule"] for each in answer.json()["problems"]]
        answer = client.post(f"/v1/fails/{fail}/decisions", json=body | {"acknowledge": rules})
        assert answer.status_code == 201, answer.text
    with sign_in(fresh) as browser:
        text = get(browser, f"/fails/{fail}")
        assert "2 steps in place of the plan" in text
        assert SHOWN in text


def test_four_eyes_wait_for_another_person(tmp_path: Path) -> None:
    """An override is a proposal; its author cannot accept it, another person can, or declines."""
    craft_fails(tmp_path / "data", 3)
    server = start(tmp_path, "--guard", "off", "--four-eyes")
    try:
        with sign_in(server) as mine, sign_in(server, "operator") as theirs:
            fields = {"kind": "override", "action": "ESCALATE", "reason": "call them",
                      "acknowledge": ["triage.action"]}  # fmt: skip
            text = done(mine, "D-1", **fields)
            assert "An override waits" in text
            assert "another person must accept it" in text
            assert "Accept the proposal" not in text
            answer = decide(mine, "D-1", kind="accept", of="1")
            assert (answer.status_code, "is your own" in answer.text) == (409, True)
            assert "Accept the proposal" in get(theirs, "/fails/D-1")
            text = done(theirs, "D-1", kind="accept", of="1")
            assert "<strong>Overridden</strong> by analyst" in text
            done(mine, "D-1", **fields | {"action": "NO_ACTION"})
            answer = decide(theirs, "D-1", kind="decline", of="3")
            assert (answer.status_code, "reason is missing" in answer.text) == (422, True)
            text = done(theirs, "D-1", kind="decline", of="3", reason="not at all")
            assert '<span class="tag">declined</span>' in text
    finally:
        stop(server)


def test_personal_data_is_masked_before_it_is_stored(tmp_path: Path) -> None:
    """With the guard, comments, reasons and names are masked, and the page says so."""
    pytest.importorskip("presidio_analyzer", reason="the guard is not installed")
    craft_fails(tmp_path / "data", 3)
    server = start(tmp_path)
    try:
        with sign_in(server) as browser:
            assert "is masked before it is stored" in get(browser, "/fails/D-1")
            done(browser, "D-1", kind="comment", comment="SSN 536-22-8746 of the client")
            fields = {"kind": "override", "action": "ESCALATE", "reason": "mail anna@example.com",
                      "acknowledge": ["triage.action"]}  # fmt: skip
            text = done(browser, "D-1", **fields)
            assert "536-22-8746" not in text
            assert "anna@example.com" not in text
            assert "of the client" in text
    finally:
        stop(server)
    stored = b"".join(p.read_bytes() for p in (tmp_path / "data").rglob("*") if p.is_file())
    assert b"536-22-8746" not in stored
    assert b"anna@example.com" not in stored
