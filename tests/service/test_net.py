"""`POST /v1/net`: the answer of `finops net`, and faults of legs by their place."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.service.conftest import Server
from tests.support.program import EXAMPLES, Finops

pytestmark = pytest.mark.slow
NET = EXAMPLES / "net"


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (NET / name).read_text().splitlines()]


@pytest.mark.parametrize(
    ("legs", "balances", "more"),
    [
        ("legs.jsonl", "balances.jsonl", {}),
        ("legs.jsonl", None, {"objective": "count"}),
        ("deadlock.jsonl", None, {"mode": "partial"}),
        ("own.jsonl", None, {"own": "DTC-0999"}),
    ],
)
def test_net_equals_the_output_of_the_command(
    client: httpx.Client, finops: Finops, legs: str, balances: str | None, more: dict[str, str]
) -> None:
    """Rule: the body gives the object that the command prints, by mode, objective and view."""
    options = [word for name, value in more.items() for word in (f"--{name}", value)]
    if balances is not None:
        options += ["--balances", str(NET / balances)]
    expected = finops("net", NET / legs, "-q", *options)
    body = {"legs": lines_of(legs), "balances": lines_of(balances) if balances else [], **more}
    answer = client.post("/v1/net", json=body)
    assert answer.status_code == 200
    assert answer.content + b"\n" == expected.stdout


def test_faults_of_legs_are_listed_by_their_place(client: httpx.Client) -> None:
    """Rule: 422 names each leg and balance that cannot be used, and nothing is left out."""
    legs = lines_of("legs.jsonl")
    legs[1]["qty"] = 0
    legs[3]["id"] = "o1"
    answer = client.post("/v1/net", json={"legs": legs})
    assert answer.status_code == 422
    paths = [problem["path"] for problem in answer.json()["problems"]]
    assert paths == ["/legs/1/qty", "/legs/3/id"]
    held = {"party": "A", "asset": "CASH", "qty": -1}
    answer = client.post("/v1/net", json={"legs": lines_of("legs.jsonl"), "balances": [held]})
    assert answer.json()["problems"][0]["path"] == "/balances/0/qty"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"legs": []}, 422),
        ({}, 422),
        ({"legs": [], "extra": 1}, 422),
        ({"legs": [{}], "mode": "half"}, 422),
        ([], 422),
        ({"legs": [{"id": "o1"}] * 1001}, 413),
    ],
)
def test_unusable_body_is_refused(client: httpx.Client, body: Any, status: int) -> None:
    """Rule: a body of another shape, without legs or with too many of them is a problem."""
    answer = client.post("/v1/net", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_view_and_mode_must_fit_the_legs(client: httpx.Client) -> None:
    """Rule: an own party that no leg names, and parts of two securities, are refused with words."""
    legs = lines_of("own.jsonl")
    answer = client.post("/v1/net", json={"legs": legs, "own": "DTC-0001"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/wrong-value")
    legs[0]["asset"] = "037833100"
    answer = client.post("/v1/net", json={"legs": legs, "mode": "partial"})
    assert answer.status_code == 422
    assert "037833100, 594918104" in answer.json()["detail"]


BOOK = EXAMPLES / "book"


def book_body(**more: Any) -> dict[str, Any]:
    return {
        "fails": [json.loads(line) for line in (BOOK / "fails.jsonl").read_text().splitlines()],
        "inventory": [
            json.loads(line) for line in (BOOK / "inventory.jsonl").read_text().splitlines()
        ],
        **more,
    }


def test_book_equals_the_output_of_the_command(client: httpx.Client, finops: Finops) -> None:
    """Rule: the list has the lines of the command, byte for byte, with its verdict."""
    options = ("--inventory", BOOK / "inventory.jsonl", "--no-timing", "--format", "jsonl", "-q")
    expected = finops("book", BOOK / "fails.jsonl", *options)
    body = ", ".join(
        f'"{name}": [{", ".join((BOOK / f"{name}.jsonl").read_text().splitlines())}]'
        for name in ("fails", "inventory")
    )
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/book", content=f"{{{body}}}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.content == b"[" + b",".join(expected.stdout.splitlines()) + b"]"
    assert answer.headers["Finops-Verified"] == ("true" if expected.returncode == 0 else "false")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fails": []}, "fails is empty"),
        ({"options": {"inventory": "x"}}, "the option inventory is a file"),
        ({"options": {"borrow_budget": "1e9"}}, "borrow_budget is 1e9"),
        ({"options": {"prefer": "record"}}, "prefer is record"),
        ({"inventory": [{"kind": "BOX"}]}, "cusip"),
    ],
)
def test_unusable_book_is_refused(client: httpx.Client, more: dict[str, Any], said: str) -> None:
    """Rule: 422 names what cannot be used, without the folders of the service."""
    answer = client.post("/v1/book", json=book_body(**more))
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert "/books/" not in answer.text


def test_book_leaves_no_file_behind(server: Server, client: httpx.Client) -> None:
    """Rule: the files of a request are gone with its answer."""
    assert client.post("/v1/book", json=book_body()).status_code == 200
    assert list((server.data / "books").iterdir()) == []
