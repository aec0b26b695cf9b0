"""`finops check` of a book: its lines, its certificate, and spoiled ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

pytest.importorskip("networkx")

FAILS = EXAMPLES / "book" / "fails.jsonl"
INVENTORY = EXAMPLES / "book" / "inventory.jsonl"
Lines = list[dict[str, Any]]


@pytest.fixture
def book(finops: Finops, tmp_path: Path) -> tuple[Path, Path]:
    """The output lines and the certificate of the example."""
    out, proof = tmp_path / "out.jsonl", tmp_path / "proof.jsonl"
    call = ("book", FAILS, "--inventory", INVENTORY, "-q", "--no-timing")
    assert finops(*call, "-o", out, "--certificate", proof).returncode == 0
    return out, proof


def check(finops: Finops, book: tuple[Path, Path]) -> tuple[int, Lines]:
    out, proof = book
    done = finops(
        "check", out, "--fails", FAILS, "--inventory", INVENTORY, "--certificate", proof, "-q"
    )
    return done.returncode, rows(done.stdout)


def change(path: Path, number: int, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a line of a file of JSON lines, counted from 0."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    edit(lines[number])
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_book_and_certificate_are_accepted(
    finops: Finops, book: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: the check accepts them where networkx and OR-tools are absent."""
    for name in ("networkx", "ortools"):
        monkeypatch.setitem(sys.modules, name, None)
    status, verdicts = check(finops, book)
    assert [verdict["findings"] for verdict in verdicts] == [[]] * 11
    assert status == 0
    assert finops("check", book[0], "-q").returncode == 0
    assert finops("check", book[0], "--fails", FAILS, "-q").returncode == 0


def move(line: dict[str, Any]) -> None:
    line["allotment"][0]["qty"] -= 1


def enlarge(line: dict[str, Any]) -> None:
    line["allotment"][0]["qty"] += 1


def first_step(line: dict[str, Any]) -> dict[str, Any]:
    step: dict[str, Any] = line["resolution"]["resolution_steps"][0]
    return step


SPOILED_LINES: dict[str, tuple[int, Callable[[dict[str, Any]], object], str]] = {
    "less": (0, move, "book."),
    "more": (0, enlarge, "book."),
    "other source": (1, lambda line: line["allotment"][0].update(id="Paris"), "book.cannot_serve"),
    "late": (5, lambda line: line["allotment"][1].pop("late"), "book."),
    "place": (1, lambda line: line["book"].update(place=1), "book.not_optimal"),
    "alone": (1, lambda line: line["book"].update(alone=7), "book.not_optimal"),
    "uncovered": (2, lambda line: line["book"].update(uncovered=7), "book."),
    "plan": (0, lambda line: first_step(line).update(qty=1), ""),
    "chased": (
        5,
        lambda line: line["resolution"]["resolution_steps"][0].update(dtc="DTC-0007"),
        "",
    ),
    "nothing": (1, lambda line: line.update(allotment=None, book=None), "book.not_optimal"),
}


@pytest.mark.parametrize("case", SPOILED_LINES.values(), ids=SPOILED_LINES.keys())
def test_spoiled_line_is_refused(
    case: tuple[int, Callable[[dict[str, Any]], object], str],
    finops: Finops,
    book: tuple[Path, Path],
) -> None:
    """Rule: a line that does not say what the plan gives is a finding."""
    number, edit, rule = case
    change(book[0], number, edit)
    status, verdicts = check(finops, book)
    rules = [each["rule"] for verdict in verdicts for each in verdict["findings"]]
    assert status == 1
    assert any(each.startswith(rule) for each in rules), rules


SPOILED_PROOFS: dict[str, tuple[int, Callable[[dict[str, Any]], object]]] = {
    "uncovered": (2, lambda line: line["levels"].update({"uncovered CRITICAL": 2999})),
    "cut": (2, lambda line: line["cuts"].pop()),
    "sentence": (2, lambda line: line["cuts"][0].update(says="All is well.")),
    "clear": (2, lambda line: line["clears"][0].update(shares=1)),
    "pending": (2, lambda line: line.update(pending_would_clear=[])),
    "price": (2, lambda line: line["prices"]["sources"][0][1].__setitem__(11, 7)),
    "trust": (0, lambda line: line.update(trust="proved")),
    "security": (0, lambda line: line.update(cusip="36467W109")),
    "total": (3, lambda line: line["total"].update(owed=1)),
    "unknown field": (1, lambda line: line.update(more=1)),
}


@pytest.mark.parametrize("case", SPOILED_PROOFS.values(), ids=SPOILED_PROOFS.keys())
def test_spoiled_proof_is_refused(
    case: tuple[int, Callable[[dict[str, Any]], object]], finops: Finops, book: tuple[Path, Path]
) -> None:
    """Rule: a line of a certificate that does not prove the plan is a finding."""
    change(book[1], *case)
    status, verdicts = check(finops, book)
    assert status == 1
    assert not all(verdict["ok"] for verdict in verdicts)


@pytest.mark.parametrize("number", range(4))
def test_missing_proof_is_refused(number: int, finops: Finops, book: tuple[Path, Path]) -> None:
    """Rule: each security has its line, and the file its sums."""
    lines = book[1].read_text().splitlines()
    book[1].write_text("".join(f"{line}\n" for line in lines[:number] + lines[number + 1 :]))
    assert check(finops, book)[0] == 1


def test_worse_plan_is_refused(finops: Finops, book: tuple[Path, Path]) -> None:
    """Rule: the plan of greedy, the box to B-1 and B-2 in their order, has no proof."""

    def give(line: dict[str, Any]) -> None:
        line["allotment"] = [{"kind": "BOX", "id": "", "qty": 5000}]

    change(book[0], 1, give)
    change(book[0], 0, lambda line: line["allotment"][0].update(qty=1000))
    status, verdicts = check(finops, book)
    assert status == 1
    assert any(verdict.get("cusip") == "594918104" and not verdict["ok"] for verdict in verdicts)


def test_budget_and_firm_parts_are_checked(finops: Finops, tmp_path: Path) -> None:
    """Rule: the certificate of a plan with a budget and a firm part is accepted, and a budget that
    is smaller than what the caps cost is not.
    """
    out, proof = tmp_path / "out.jsonl", tmp_path / "proof.jsonl"
    stock = tmp_path / "stock.jsonl"
    price = {"cusip": "36467W109", "kind": "PRICE", "usd": "20"}
    stock.write_text(f"{INVENTORY.read_text()}{json.dumps(price)}\n")
    sent = tmp_path / "sent.jsonl"
    sent.write_text('{"fail_id": "B-3", "kind": "BOX", "qty": 500, "firm": true}\n')
    options = ("--inventory", stock, "-q", "--certificate", proof)
    call = ("book", FAILS, *options, "--sent", sent, "--borrow-budget", "30000", "-o", out)
    assert finops(*call).returncode == 0
    judge = ("check", out, "--fails", FAILS, *options)
    done = finops(*judge)
    assert done.returncode == 0, done.stdout
    caps = [line.get("borrow_cap") for line in rows(proof.read_bytes())]
    assert caps == [None, 1470, None, None]
    change(proof, 3, lambda line: line["total"].update(borrow_budget="29000"))
    assert finops(*judge).returncode == 1


@pytest.mark.parametrize(
    "options",
    [
        ("out", "--certificate", "proof"),
        ("-", "--fails", "fails", "--certificate", "proof"),
        ("out", "--fails", "fails", "--certificate", "proof", "--raw"),
    ],
)
def test_certificate_needs_files_that_are_read_twice(
    options: tuple[str, ...], finops: Finops, book: tuple[Path, Path]
) -> None:
    """Rule: without the fails, from a pipe or with --raw, the command is refused."""
    names = {"out": str(book[0]), "proof": str(book[1]), "fails": str(FAILS)}
    assert finops("check", *(names.get(each, each) for each in options)).returncode == 2
