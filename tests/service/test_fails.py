"""The queue over HTTP, and what people decide about fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from finops_cli.checking.other_rules import RuleSets
from finops_cli.domain.finding import Finding
from finops_cli.guard.detector import installed
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.service.auth.tokens import new_owner, token_entry, utc_now
from finops_cli.service.fails.deciding import DecisionRequest, find_broken_rules, read_content
from finops_cli.service.problems import ServiceError
from finops_cli.service.store.decisions import Change
from finops_cli.service.store.fails import NewFails, Place, find_pool_lines
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.sqlite import DATABASE_FILE, connect
from finops_cli.views.answers import Answer, read_answer
from tests.service.conftest import Server, start, stop
from tests.service.test_jobs import MONDAY, begin, finish, upload
from tests.support.own_kb import change_kb
from tests.support.program import Finops, call_finops
from tests.support.stores import LINES, a_job, add_file

slow = pytest.mark.slow
KB = load_kb(bundled_kb_dir())
RULES = RuleSets(KB)
OF_TIER = ["tier.band", "tier.escalation", "triage.lifecycle"]
"""The rules that a CRITICAL fail breaks as LOW."""
BROKEN = MONDAY + b'{"fail_id": "F-BAD", "cusip": 1}\n'


@cache
def first_line() -> bytes:
    """Return the answer to the first fail of Monday."""
    done = call_finops("run", "-", "--no-timing", "-q", stdin=MONDAY.splitlines()[0])
    return done.stdout


def broken(**change: Any) -> set[str]:
    found: list[Finding] = find_broken_rules(first_line(), Change(**change), RULES)
    return {each.rule for each in found}


def test_override_is_held_against_the_rules() -> None:
    """Another tier or action breaks the rule that gives it; the same values break nothing."""
    assert broken(tier="LOW") == set(OF_TIER)
    assert broken(action="NO_ACTION") == {"triage.action"}
    assert broken(tier="CRITICAL") == set()
    assert broken(steps=[]) == {"plan.total"}


def test_line_that_cannot_be_checked_says_so() -> None:
    """An override of a line of another shape, or of other rules, is not taken as unbroken."""
    given = json.loads(first_line())
    old = {name: value for name, value in given.items() if name != "provenance"}
    found = find_broken_rules(json.dumps(old).encode(), Change(tier="LOW"), RULES)
    assert [each.rule for each in found] == ["schema.type"]
    given["provenance"]["kb"] = "0.0.9+aaaaaaaaaaaa"
    given["triage"]["escalation_level"] = "L4"
    found = find_broken_rules(json.dumps(given).encode(), Change(tier="LOW"), RULES)
    assert [each.rule for each in found] == ["check.rules"]


@pytest.mark.skipif(not installed(), reason="the guard is not installed")
def test_texts_within_a_step_are_masked() -> None:
    """Whatever the shape of a step is, no personal data in its texts is stored."""
    steps = [{"action": "RECALL_LOAN", "qty": 100, "of": {"notes": ["SSN 536-22-8746"]}}]
    asked = DecisionRequest(
        kind="override", reason="asked", steps=steps, acknowledge=sorted(broken(steps=steps))
    )
    content = read_content(asked, first_line(), RULES, redaction_policy("require", True, KB))
    assert content.change is not None
    assert content.change.steps is not None
    assert content.change.steps[0]["qty"] == 100
    assert "536-22-8746" not in json.dumps(content.change.steps)


def test_pool_is_searched_in_parts(tmp_path: Path) -> None:
    """Fails of other securities that draw on a pool are found, and no result holds all rows."""
    open_database(tmp_path, None).close()
    with closing(connect(tmp_path / DATABASE_FILE)) as connection:
        add_file(connection)
        job, given = a_job(connection), read_answer(LINES[0], 1)
        assert isinstance(given, Answer)
        other = replace(given, pool="CUSIP-POOL")
        NewFails(
            job.id, [(other if n % 500 == 0 else given, Place(n, n, 1)) for n in range(1, 2_101)]
        ).insert(connection)
        said: list[str] = []
        connection.set_trace_callback(said.append)
        found = find_pool_lines(connection, job.id, "CUSIP-POOL")
    assert [each.place.line for each in found] == [500, 1_000, 1_500, 2_000]
    assert all("LIMIT 1000" in each for each in said if "body" in each)


def test_line_without_an_answer_is_not_overridden() -> None:
    """A rejected line has no answer that an override could stand beside."""
    line = b'{"fail_id": "F-1", "status": "rejected", "verification": {}, "triage": null}'
    with pytest.raises(ServiceError, match="no answer to override"):
        find_broken_rules(line, Change(tier="LOW"), RULES)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A service whose newest job is Monday's blotter with one bad record."""
    running = start(tmp_path_factory.mktemp("desk"), "--guard", "off")
    with running.client("operator") as client:
        job = finish(client, begin(client, "run", upload(client, BROKEN)))
    assert job["state"] == "completed"
    yield running, job["id"]
    stop(running)


def fails(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/fails", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["fails"]
    return found


def decide(client: httpx.Client, fail: str, **body: Any) -> httpx.Response:
    return client.post(f"/v1/fails/{fail}/decisions", json=body)


@slow
def test_queue_has_the_order_of_list(desk: tuple[Server, str], finops: Finops) -> None:
    """Pages by rank name the fails in the order of `finops list`, each once."""
    server, job = desk
    with server.client("reader") as client:
        output = client.get(f"/v1/jobs/{job}/output").content
        names, cursor = [], None
        while True:
            query = {"order": "rank", "limit": 2, **({"cursor": cursor} if cursor else {})}
            page = client.get("/v1/fails", params=query).json()
            names += [each["fail_id"] for each in page["fails"]]
            cursor = page["next"]
            if cursor is None:
                break
    listed = finops("list", "-", "--format", "jsonl", stdin=output).stdout.splitlines()
    assert names == [json.loads(line)["fail_id"] for line in listed]
    assert len(names) == 9


@slow
def test_queue_is_filtered_and_counted(desk: tuple[Server, str]) -> None:
    """Filters take what they name, and the counts are those of the filter."""
    server, _ = desk
    with server.client("reader") as client:
        page = client.get("/v1/fails", params={"tier": "CRITICAL", "counts": True}).json()
        assert {each["answer"]["tier"] for each in page["fails"]} == {"CRITICAL"}
        assert page["counts"]["total"]["fails"] == len(page["fails"]) == 3
        assert [each["fail_id"] for each in fails(client, status="rejected")] == ["F-BAD"]
        assert [each["fail_id"] for each in fails(client, q="f-bad")] == ["F-BAD"]


@slow
@pytest.mark.parametrize(
    "query",
    [
        {"tier": "URGENT"},
        {"limit": 0},
        {"limit": "x"},
        {"limit": 501},
        {"cursor": "x"},
        {"order": "size"},
        {"decided": "maybe"},
        {"within_days": "1.5"},
        {"speed": 1},
        {"q": "x" * 201},
    ],
)
def test_unusable_query_is_a_problem(desk: tuple[Server, str], query: dict[str, Any]) -> None:
    """A parameter that the queue cannot use gives 422 and what is accepted."""
    server, _ = desk
    with server.client("reader") as client:
        answer = client.get("/v1/fails", params=query)
    assert answer.status_code == 422
    assert "accepted: " in answer.json()["detail"]


@slow
def test_one_fail_is_shown_with_its_line(desk: tuple[Server, str]) -> None:
    """A fail is found by its id and by its name; its line is that of the output, and the view is
    in the audit log.
    """
    server, job = desk
    with server.client("reader") as client:
        row = fails(client)[0]
        detail = client.get(f"/v1/fails/{row['id']}").json()
        by_name = client.get(f"/v1/fails/{row['fail_id']}").json()
        assert client.get("/v1/fails/nothing").status_code == 404
        lines = client.get(f"/v1/jobs/{job}/output").text.splitlines()
    assert detail == by_name
    assert detail["fail"] == row
    assert detail["output"] == json.loads(lines[row["line"] - 1])
    with server.client("auditor") as auditor:
        entries = auditor.get("/v1/audit", params={"limit": 1000}).json()
    assert row["id"] in {each["subject"] for each in entries if each["action"] == "view"}


@slow
def test_override_needs_a_reason_and_ticked_rules(desk: tuple[Server, str]) -> None:
    """An override without a reason, or with a broken rule that nobody ticked, is refused and names
    them; ticked, it stands beside the engine's answer.
    """
    server, _ = desk
    with server.client("analyst") as client:
        row = fails(client, q="F-1001")[0]
        without = decide(client, row["id"], kind="override", tier="LOW")
        assert (without.status_code, "reason" in without.text) == (422, True)
        unticked = decide(client, row["id"], kind="override", tier="LOW", reason="paid")
        assert unticked.status_code == 422
        assert {each["rule"] for each in unticked.json()["problems"]} == set(OF_TIER)
        done = decide(
            client,
            row["id"],
            kind="override",
            tier="LOW",
            reason="paid",
            acknowledge=OF_TIER,
            expected_version=0,
        )
        assert done.status_code == 201, done.text
        after = client.get(f"/v1/fails/{row['id']}").json()
        assert after["fail"]["answer"] == row["answer"]
        assert after["fail"]["state"]["change"] == {"tier": "LOW"}
        assert after["decisions"][0]["content"]["broken"] == OF_TIER
        late = decide(client, row["id"], kind="accept", expected_version=0)
        assert (late.status_code, late.json()["present"]["version"]) == (409, 1)
        assert [each["id"] for each in fails(client, decided="overridden")] == [row["id"]]
        assert row["id"] not in {each["id"] for each in fails(client, decided="none")}


@slow
def test_decision_with_a_key_is_made_once(desk: tuple[Server, str]) -> None:
    """The same request with the same key is one decision."""
    server, _ = desk
    with server.client("analyst", **{"Idempotency-Key": "decision-1"}) as client:
        row = fails(client, tier="LOW")[0]
        first = decide(client, row["id"], kind="comment", comment="called")
        again = decide(client, row["id"], kind="comment", comment="called")
        assert first.status_code == again.status_code == 201
        assert again.headers["idempotency-replayed"] == "true"
        other = decide(client, row["id"], kind="comment", comment="other")
        assert other.status_code == 422
        history = client.get(f"/v1/fails/{row['id']}/history").json()
    assert len(history["decisions"]) == 1


@slow
def test_decision_is_deleted_by_an_admin_alone(desk: tuple[Server, str]) -> None:
    """Only an admin deletes a decision; the audit log keeps that it was there, not its words."""
    server, _ = desk
    with server.client("analyst") as client:
        row = fails(client, tier="MEDIUM")[0]
        n = decide(client, row["id"], kind="comment", comment="SECRET").json()["decision"]["n"]
        path = f"/v1/fails/{row['id']}/decisions/{n}"
        assert client.delete(path).status_code == 403
    with server.client("admin") as admin:
        assert admin.delete(path).status_code == 204
        assert admin.delete(path).status_code == 404
        assert admin.get(f"/v1/fails/{row['id']}").json()["decisions"] == []
        entries = admin.get("/v1/audit", params={"limit": 1000}).json()
        assert admin.get("/v1/audit/verify").json()["ok"]
    assert "delete_decision" in {each["action"] for each in entries}
    assert "SECRET" not in str(entries)


@slow
@pytest.mark.parametrize(
    "body",
    [
        {"kind": "comment"},
        {"kind": "comment", "comment": " "},
        {"kind": "decline", "reason": "no"},
        {"kind": "accept", "tier": "LOW"},
        {"kind": "override", "reason": "x"},
        {"kind": "override", "reason": "x", "tier": "URGENT"},
        {"kind": "shout"},
        {"kind": "comment", "comment": "x" * 5_000},
        {"kind": "accept", "more": 1},
        {"kind": "comment", "comment": "x", "of": 1},
        {"kind": "override", "reason": "x", "tier": "LOW", "of": 1},
    ],
)
def test_unusable_decision_is_refused(desk: tuple[Server, str], body: dict[str, Any]) -> None:
    """A decision that lacks something, or holds something unknown, is refused."""
    server, _ = desk
    with server.client("analyst") as client:
        assert decide(client, fails(client)[0]["id"], **body).status_code == 422


@slow
def test_reader_decides_nothing(desk: tuple[Server, str]) -> None:
    """A reader sees the queue and decides nothing."""
    server, _ = desk
    with server.client("reader") as client:
        row = fails(client)[0]
        assert decide(client, row["id"], kind="accept").status_code == 403


@slow
def test_decision_is_carried_to_a_later_job(desk: tuple[Server, str]) -> None:
    """The same fail in the next blotter keeps its decision, and says that it was carried over."""
    server, _ = desk
    with server.client("operator") as client:
        row = fails(client, tier="MEDIUM")[-1]
        decide(client, row["id"], kind="assign", assignee="ben")
        decide(client, row["id"], kind="accept")
        finish(client, begin(client, "run", upload(client, BROKEN)))
        [later] = fails(client, q=row["fail_id"])
        history = client.get(f"/v1/fails/{later['id']}/history").json()
        assert [each["fail_id"] for each in fails(client, assignee="ben")] == [row["fail_id"]]
    assert later["job"] != row["job"]
    assert later["is_carried"] is True
    assert [each["job"] for each in history["answers"]] == [later["job"], row["job"]]


@slow
def test_rules_of_an_earlier_start_judge_their_lines(tmp_path: Path) -> None:
    """After a change of the rules, an override is checked by the rules that made the line."""
    kb = change_kb(tmp_path, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")
    first = start(tmp_path, "--guard", "off", kb=kb)
    with first.client("operator") as client:
        job = finish(client, begin(client, "run", upload(client, MONDAY)))
    stop(first)
    second = start(tmp_path, "--guard", "off")
    with second.client("operator") as client:
        output = client.get(f"/v1/jobs/{job['id']}/output").content
        line = json.loads(output.splitlines()[0])
        refused = decide(client, line["fail_id"], kind="override", reason="asked", tier="LOW")
        verdict = client.post("/v1/check", json=line).json()
        check = finish(client, begin(client, "check", upload(client, output)))
        checked = client.get(f"/v1/jobs/{check['id']}/output").text
    stop(second)
    assert {each["rule"] for each in refused.json()["problems"]} == set(OF_TIER)
    assert [each["rule"] for each in verdict["notes"]] == ["check.made_with"]
    assert [json.loads(each)["ok"] for each in checked.splitlines()] == [True] * 8


@slow
def test_four_eyes_wait_for_another_person(
    tmp_path: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With --four-eyes an override is a proposal until another person accepts it; a second token
    of its author is not another person.
    """
    server = start(tmp_path, "--guard", "off", "--four-eyes")
    ticked = {"tier": "LOW", "reason": "paid", "acknowledge": OF_TIER}
    with server.client("operator") as client:
        finish(client, begin(client, "run", upload(client, MONDAY)))
        row = fails(client, tier="CRITICAL")[0]
        made = decide(client, row["id"], kind="override", **ticked).json()
        assert made["decision"]["standing"] == "proposed"
        assert "outcome" not in made["state"]
        own = decide(client, row["id"], kind="accept", of=made["decision"]["n"])
        assert own.status_code == 409
        further = new_owner("fop_further", "nightly", "analyst", utc_now(), 1, "Operator")
        with (server.data.parent / "tokens.toml").open("a") as tokens:
            tokens.write(token_entry(further))
        with server.client(Authorization="Bearer fop_further") as same:
            own = decide(same, row["id"], kind="accept", of=made["decision"]["n"])
            assert (own.status_code, own.json()["type"]) == (409, "/problems/proposal")
            page = same.get(f"/fails/{row['id']}", headers={"Accept": "text/html"}).text
            assert "another person must accept it" in page
            assert "Accept the proposal" not in page
        assert [each["id"] for each in fails(client, decided="proposed")] == [row["id"]]
    with server.client("analyst") as other:
        done = decide(other, row["id"], kind="accept", of=made["decision"]["n"])
        assert done.json()["state"]["outcome"] == "overridden"
    stop(server)
