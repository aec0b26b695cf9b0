"""`finops book`: lines, faults of the inventory, conflicts, repeated and interrupted runs."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

pytest.importorskip("networkx")

FAILS = EXAMPLES / "book" / "fails.jsonl"
INVENTORY = EXAMPLES / "book" / "inventory.jsonl"
CUSIP = "594918104"
STOCK = {
    "box_qty": 6000,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 0,
}


def fail(name: str | None, qty: int, cusip: str = CUSIP, **more: Any) -> dict[str, Any]:
    """Return a fail of 50 points or less, due in ten days."""
    record = {
        "fail_id": name,
        "cusip": cusip,
        "side": "Sell",
        "qty": qty,
        "counterparty": "DTC-0005",
        "age_days": 3,
        "market_value": 1000,
        "cns_direction": "N_A",
        "reg_sho_threshold": False,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": 1,
        **more,
    }
    return {key: value for key, value in record.items() if value is not None}


def write(path: Path, *records: Any) -> Path:
    """Write lines of JSON; text stays as it is."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def box(qty: int, **more: Any) -> dict[str, Any]:
    return {"cusip": CUSIP, "kind": "BOX", "qty": qty, **more}


def shares(line: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the kinds and quantities of a line's allotment."""
    return [(each["kind"], each["qty"]) for each in line["allotment"] or ()]


def by_name(output: bytes) -> dict[str, dict[str, Any]]:
    return {line["fail_id"]: line for line in rows(output)}


def test_example_gives_each_share_once(finops: Finops) -> None:
    """Rule: the box goes to the fail that the depot cannot reach; the steps are the allotment."""
    done = finops("book", FAILS, "--inventory", INVENTORY, "-q")
    lines = by_name(done.stdout)
    assert done.returncode == 0
    assert shares(lines["B-1"]) == [("BOX", 6000)]
    assert shares(lines["B-2"]) == [("DEPOT", 5000)]
    assert shares(lines["B-3"]) == []
    assert lines["B-1"]["book"] == {
        "cusip": CUSIP,
        "place": 1,
        "of": 3,
        "uncovered": 3000,
        "late": 0,
        "alone": 3000,
        "cut": "B-1 owes 9,000. What reaches it in time holds 6,000 (box 6,000). 3,000 stay"
        " uncovered in any plan.",
    }
    assert lines["B-1"]["resolution"]["residual_short"] == 3000
    assert lines["B-3"]["book"]["alone"] == 0
    assert lines["B-7"]["allotment"] is None
    assert lines["B-7"]["book"] is None
    assert lines["B-7"]["resolution_skipped"]
    assert lines["B-1"]["provenance"]["inventory"]["as_of"] == "2026-11-27T18:00:00-05:00"


def test_summary_names_tiers_and_worst_securities(finops: Finops) -> None:
    """Rule: stderr ends with a row for each tier and a sentence for the worst securities."""
    said = finops("book", FAILS, "--inventory", INVENTORY).stderr.decode()
    assert "CRITICAL      2  15,000   12,000      3,000  1,500     2,000" in said
    assert "594918104: B-1 owes 9,000. What reaches it in time holds 6,000 (box 6,000)." in said


def test_permuted_lines_get_the_same_plan(finops: Finops, tmp_path: Path) -> None:
    """Rule: the order of the fails and of the sources changes no line, and runs are equal."""
    fails, sources = FAILS.read_text().splitlines(), INVENTORY.read_text().splitlines()
    expected = by_name(finops("book", FAILS, "--inventory", INVENTORY, "-q", "--no-timing").stdout)
    for seed in range(3):
        mixed, stock = list(fails), sources[1:]
        Random(seed).shuffle(mixed)
        Random(seed).shuffle(stock)
        given = write(tmp_path / "fails.jsonl", *mixed)
        inventory = write(tmp_path / "inventory.jsonl", sources[0], *stock)
        found = by_name(finops("book", given, "--inventory", inventory, "-q", "--no-timing").stdout)
        for name, line in found.items():
            assert {**line, "provenance": None} == {**expected[name], "provenance": None}


@pytest.mark.parametrize("kind", ["again", "pipe", "workers"])
def test_equal_input_gives_equal_bytes(kind: str, finops: Finops) -> None:
    """Rule: repeated runs, a pipe and two workers give equal bytes."""
    options = ("--inventory", INVENTORY, "-q", "--no-timing")
    expected = finops("book", FAILS, *options).stdout
    if kind == "pipe":
        found = finops("book", "-", *options, stdin=FAILS.read_bytes()).stdout
    else:
        more = ("--workers", 2) if kind == "workers" else ()
        found = finops("book", FAILS, *options, *more).stdout
    assert found == expected


def test_interrupted_run_is_resumed(finops: Finops, tmp_path: Path) -> None:
    """Rule: the lines after an interruption are those of the whole run; another inventory or
    another plan that was sent is refused.
    """
    out = tmp_path / "out.jsonl"
    inventory = write(tmp_path / "inventory.jsonl", *INVENTORY.read_text().splitlines())
    call = ("book", FAILS, "--inventory", inventory, "-q", "--no-timing", "-o", out)
    assert finops(*call).returncode == 0
    whole = out.read_bytes()
    note = tmp_path / "out.jsonl.run.json"
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    out.write_bytes(whole[: len(whole) // 2])
    assert finops(*call, "--resume").returncode == 0
    assert out.read_bytes() == whole
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    write(inventory, box(1))
    done = finops(*call, "--resume")
    assert done.returncode == 2
    assert b"the book (--inventory" in done.stderr


def test_record_inventories_are_one_pool(finops: Finops, tmp_path: Path) -> None:
    """Rule: two records with the same box share it; one without an inventory shares it too."""
    given = write(
        tmp_path / "f.jsonl",
        fail("A", 4000, inventory=STOCK),
        fail("B", 4000, inventory={**STOCK, "pending_receives": 7}),
        fail("C", 1000),
        fail("D", 1000, cusip="037833100"),
    )
    lines = by_name(finops("book", given, "-q").stdout)
    assert [lines[name]["book"]["uncovered"] for name in "ABC"] == [0, 2000, 1000]
    assert lines["D"]["book"] is None
    assert lines["D"]["resolution_skipped"]


def test_unequal_inventories_of_records_are_rejected(finops: Finops, tmp_path: Path) -> None:
    """Rule: records whose inventories differ are rejected with both numbers and lines."""
    given = write(
        tmp_path / "f.jsonl",
        fail("A", 4000, inventory=STOCK),
        fail("B", 4000, inventory={**STOCK, "box_qty": 9}),
        fail("C", 1000),
    )
    done = finops("book", given, "-q")
    lines = by_name(done.stdout)
    assert done.returncode == 1
    assert [lines[name]["status"] for name in "ABC"] == ["rejected", "rejected", "ok"]
    [problem] = lines["A"]["error"]["problems"]
    assert problem["rule"] == "book.snapshot_conflict"
    assert "line 1 has 6000, line 2 has 9" in problem["message"]
    assert lines["A"]["book"] is None


def test_record_that_differs_from_the_file(finops: Finops, tmp_path: Path) -> None:
    """Rule: such a record is rejected; --prefer file takes the file and keeps a finding."""
    given = write(tmp_path / "f.jsonl", fail("A", 4000, inventory=STOCK), fail("B", 1000))
    inventory = write(tmp_path / "i.jsonl", box(5000))
    done = finops("book", given, "--inventory", inventory, "-q")
    lines = by_name(done.stdout)
    assert done.returncode == 1
    assert lines["A"]["error"]["problems"][0]["rule"] == "book.snapshot_conflict"
    assert "6000" in lines["A"]["error"]["message"]
    assert "5000" in lines["A"]["error"]["message"]
    assert lines["B"]["book"]["of"] == 1
    done = finops("book", given, "--inventory", inventory, "-q", "--prefer", "file")
    line = by_name(done.stdout)["A"]
    assert done.returncode == 0
    assert line["book"]["findings"][0]["rule"] == "book.snapshot_conflict"
    assert shares(line) == [("BOX", 4000)]


DOUBTS = [
    '{"cusip": "594918104", "kind": "BOX", "qty": -1}',
    '{"cusip": "594918104", "kind": "BOX", "qty": 1, "color": "red"}',
    '{"cusip": "594918104", "kind": "DEPOT", "qty": 1}',
    '{"cusip": "594918104", "kind": "BOX", "qty": 7}',
    '{"cusip": "594918104", "kind": "SHELF", "qty": 7}',
    '{"cusip": "594918104", "kind": "BORROW", "qty": "many"}',
    '{"cusip": "594918104", "kind": "PRICE", "usd": "1.23456"}',
]


@pytest.mark.parametrize("line", DOUBTS)
def test_faulty_line_puts_its_security_in_doubt(line: str, finops: Finops, tmp_path: Path) -> None:
    """Rule: the fails of the security are rejected with file and line; others go on."""
    other = {"cusip": "037833100", "kind": "BOX", "qty": 10}
    inventory = write(tmp_path / "i.jsonl", box(5000), other, line)
    given = write(tmp_path / "f.jsonl", fail("A", 10), fail("B", 10, cusip="037833100"))
    done = finops("book", given, "--inventory", inventory, "-q")
    lines = by_name(done.stdout)
    assert done.returncode == 1
    assert lines["A"]["status"] == "rejected"
    [problem] = lines["A"]["error"]["problems"]
    assert problem["rule"] == "book.inventory_in_doubt"
    assert f"{inventory}:3" in problem["message"]
    assert shares(lines["B"]) == [("BOX", 10)]


@pytest.mark.parametrize(
    "line", ["{", '{"cusip": "594918105", "kind": "BOX", "qty": 1}', '{"kind": "BOX", "qty": 1}']
)
def test_line_without_a_security_stops_the_run(line: str, finops: Finops, tmp_path: Path) -> None:
    """Rule: nobody knows whom it concerns, so nothing is written, and the status is 2."""
    inventory = write(tmp_path / "i.jsonl", box(5000), line)
    out = tmp_path / "out.jsonl"
    done = finops("book", FAILS, "--inventory", inventory, "-o", out)
    assert done.returncode == 2
    assert f"{inventory}:2" in done.stderr.decode()
    assert not out.exists()


def test_stale_inventory_is_refused(finops: Finops) -> None:
    """Rule: an inventory older than a settlement day stops the run, unless it is allowed."""
    call = ("book", FAILS, "--inventory", INVENTORY, "-q", "--as-of", "2026-12-02T09:00")
    done = finops(*call)
    assert done.returncode == 2
    assert b"2026-11-27" in done.stderr
    assert b"--allow-stale" in done.stderr
    assert finops(*call, "--allow-stale").returncode == 0


def test_new_security_draws_on_its_own_pool(finops: Finops, tmp_path: Path) -> None:
    """Rule: option B draws on the new security; option C draws nothing and keeps its plan."""
    event = {"pre_event_deliverable": False, "new_cusip": "037833100"}
    cash = {"pre_event_deliverable": False}
    given = write(
        tmp_path / "f.jsonl",
        fail("B", 10, corporate_action=event),
        fail("C", 10, corporate_action=cash),
    )
    inventory = write(tmp_path / "i.jsonl", box(50), {"cusip": "037833100", "qty": 4})
    lines = by_name(finops("book", given, "--inventory", inventory, "-q").stdout)
    assert lines["B"]["book"]["cusip"] == "037833100"
    assert shares(lines["B"]) == [("BOX", 4)]
    assert lines["C"]["allotment"] is None
    assert lines["C"]["resolution"]["resolution_steps"][0]["action"] == "SPO_SETTLEMENT"


def test_least_partial_is_between_one_and_the_quantity(finops: Finops, tmp_path: Path) -> None:
    """Rule: a smaller part is never given, and a least partial above the quantity is refused."""
    given = write(
        tmp_path / "f.jsonl",
        fail("A", 10, min_partial_qty=8),
        fail("B", 5),
        fail("C", 10, min_partial_qty=11),
    )
    inventory = write(tmp_path / "i.jsonl", box(7))
    lines = by_name(finops("book", given, "--inventory", inventory, "-q").stdout)
    assert shares(lines["A"]) == []
    assert shares(lines["B"]) == [("BOX", 5)]
    assert lines["C"]["error"]["problems"][0]["rule"] == "book.least_partial"


def test_repeated_and_nameless_fails(finops: Finops, tmp_path: Path) -> None:
    """Rule: a repeated name draws nothing; a nameless line is last among equals by its number."""
    given = write(tmp_path / "f.jsonl", fail("x", 6), fail("x", 6), fail(None, 6), fail("a", 6))
    inventory = write(tmp_path / "i.jsonl", box(13))
    lines = rows(finops("book", given, "--inventory", inventory, "-q").stdout)
    assert [line["status"] for line in lines] == ["ok", "rejected", "ok", "ok"]
    assert [shares(line) for line in lines] == [[("BOX", 1)], [], [("BOX", 6)], [("BOX", 6)]]
    assert lines[2]["fail_id"] == "line-3"


def test_sent_plan_stays_and_firm_parts_stay(finops: Finops, tmp_path: Path) -> None:
    """Rule: with its own output as --sent, nothing changes; a firm part is taken out and shown."""
    first = tmp_path / "first.jsonl"
    call = ("book", FAILS, "--inventory", INVENTORY, "-q", "--no-timing")
    finops(*call, "-o", first)
    again = by_name(finops(*call, "--sent", first).stdout)
    for line in rows(first.read_bytes()):
        assert again[line["fail_id"]]["allotment"] == line["allotment"]
        if line["book"] is not None:
            assert again[line["fail_id"]]["book"]["change"] == "same"
    firm = {"fail_id": "B-3", "kind": "BOX", "qty": 2000, "firm": True}
    wrong = {"fail_id": "B-2", "kind": "BORROW", "id": "?", "qty": 5, "firm": True}
    done = finops(*call, "--sent", write(tmp_path / "s.jsonl", firm, wrong))
    lines = by_name(done.stdout)
    assert lines["B-3"]["allotment"] == [{"kind": "BOX", "id": "", "qty": 2000, "firm": True}]
    assert shares(lines["B-1"]) == [("BOX", 4000)]
    assert lines["B-2"]["book"]["findings"][0]["rule"] == "book.firm_unknown"


def test_budget_goes_to_the_queue_of_the_book(finops: Finops, tmp_path: Path) -> None:
    """Rule: the money reaches the first fails; a lender without a price puts its CUSIP in doubt."""
    given = write(tmp_path / "f.jsonl", fail("A", 10, age_days=9), fail("B", 10, cusip="037833100"))
    lender = {"kind": "BORROW", "qty": 10}
    price = {"kind": "PRICE", "usd": "100"}
    sources = [
        {"cusip": cusip, **line} for cusip in (CUSIP, "037833100") for line in (lender, price)
    ]
    call = ("book", given, "-q", "--borrow-budget", "1500", "--inventory")
    lines = by_name(finops(*call, write(tmp_path / "i.jsonl", *sources)).stdout)
    assert [shares(lines[name]) for name in "AB"] == [[("BORROW", 10)], [("BORROW", 4)]]
    done = finops(*call, write(tmp_path / "i.jsonl", *sources[:-1]))
    assert by_name(done.stdout)["B"]["error"]["problems"][0]["rule"] == "book.inventory_in_doubt"


def test_certificate_has_a_line_for_each_security(finops: Finops, tmp_path: Path) -> None:
    """Rule: the proof has a line for each security with a drawing fail, and a line of sums."""
    proof = tmp_path / "proof.jsonl"
    finops("book", FAILS, "--inventory", INVENTORY, "-q", "--certificate", proof)
    *pools, total = rows(proof.read_bytes())
    assert [pool["cusip"] for pool in pools] == ["037833100", "36467W109", "594918104"]
    assert total["total"]["owed"] == 24_000
    assert total["total"]["levels"]["uncovered CRITICAL"] == 3000


def test_delta_changes_the_inventory_file(finops: Finops, tmp_path: Path) -> None:
    """Rule: a changed file and the file with its changes give the same plan."""
    changes = write(
        tmp_path / "delta.jsonl",
        box(9500),
        {"cusip": CUSIP, "kind": "DEPOT", "id": "London", "qty": 0, "transit_days": 3},
        {"cusip": CUSIP, "kind": "DEPOT", "id": "Zurich", "qty": 70, "transit_days": 2},
    )
    kept = [line for line in INVENTORY.read_text().splitlines() if '"594918104"' not in line]
    pending = [line for line in INVENTORY.read_text().splitlines() if '"PENDING"' in line]
    zurich = {"cusip": CUSIP, "kind": "DEPOT", "id": "Zurich", "qty": 70, "transit_days": 2}
    whole = write(tmp_path / "whole.jsonl", *kept, *pending, box(9500), zurich)
    first = tmp_path / "first.jsonl"
    finops("book", FAILS, "--inventory", INVENTORY, "-q", "-o", first)
    more = ("-q", "--no-timing", "--sent", first)
    left = by_name(
        finops("book", FAILS, "--inventory", INVENTORY, "--delta", changes, *more).stdout
    )
    right = by_name(finops("book", FAILS, "--inventory", whole, *more).stdout)
    for name, line in left.items():
        assert {**line, "provenance": None} == {**right[name], "provenance": None}
    assert left["B-1"]["book"]["change"] == "changed"
    assert left["B-6"]["book"]["change"] == "same"
    assert finops("book", FAILS, "--delta", changes).returncode == 2
    twice = write(tmp_path / "twice.jsonl", box(1), box(2))
    done = finops("book", FAILS, "--inventory", INVENTORY, "--delta", twice, "-q")
    assert by_name(done.stdout)["B-1"]["error"]["problems"][0]["rule"] == "book.inventory_in_doubt"


def test_book_without_inventory_says_so(finops: Finops, tmp_path: Path) -> None:
    """Rule: where no fail has an inventory, the summary says that nothing is allotted, and why."""
    done = finops("book", write(tmp_path / "f.jsonl", fail("A", 4000), fail("B", 10)))
    said = " ".join(done.stderr.decode().split())
    assert done.returncode == 0
    assert "Nothing is allotted: no accepted fail owes shares" in said
    assert "Give --inventory FILE" in said
    assert "0 securities" not in said
