"""Each part of a book is a plan of card 2 (book, section 8)."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.oracle.random_fails import cusip, random_fail
from tests.support.program import Finops
from tests.support.records import rows
from tests.support.soak import scaled

pytest.importorskip("networkx")

BY_KIND = {
    "FTR": {"CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK"},
    "BOX": {"APPLY_BOX"},
    "DEPOT": {"DEPOT_MOVEMENT"},
}
FALLBACKS = {"RECALL": "INITIATE_RECALL", "BORROW": "SOURCE_BORROW"}


def draw_fails(seed: int, count: int, shared: bool) -> list[dict[str, Any]]:
    """Draw fails with an inventory; `shared`: four in a row have one security and one inventory."""
    rng = Random(seed)
    records: list[dict[str, Any]] = []
    while len(records) < count:
        record = random_fail(rng, f"F-{len(records)}")
        if record.get("inventory") is None:
            continue
        record["cusip"] = cusip(rng)
        event = record.get("corporate_action")
        if event and event.get("new_cusip"):
            record["corporate_action"] = {**event, "new_cusip": cusip(rng)}
        if shared and len(records) % 4:
            record |= {name: records[-1].get(name) for name in ("cusip", "inventory", "ftrs")}
        records.append({name: value for name, value in record.items() if value is not None})
    return records


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def without_rationale(plan: dict[str, Any] | None) -> dict[str, Any] | None:
    """Leave out the sentence of each step: the box names the allotment."""
    if plan is None:
        return None
    steps = [{**step, "rationale": ""} for step in plan["resolution_steps"]]
    return {**plan, "resolution_steps": steps}


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 250), pytest.param(2, scaled(1_500, 5_000), marks=pytest.mark.slow)]
)
def test_lone_fails_have_the_plans_of_run(
    seed: int, count: int, finops: Finops, tmp_path: Path
) -> None:
    """Rule: a fail that shares its security with no other has the plan of `finops run`."""
    given = write(tmp_path / "f.jsonl", draw_fails(seed, count, shared=False))
    today = rows(finops("run", given, "-q", "--backend", "engine", "--no-receives").stdout)
    book = rows(finops("book", given, "-q").stdout)
    planned = 0
    for mine, theirs in zip(book, today, strict=True):
        assert mine["triage"] == theirs["triage"]
        assert without_rationale(mine["resolution"]) == without_rationale(theirs["resolution"])
        planned += mine["allotment"] is not None
    assert planned > count / 5


def test_uncontended_fails_have_the_plans_of_run(finops: Finops, tmp_path: Path) -> None:
    """Rule: where the sources of a shared security hold what each fail takes alone, each has the
    plan of `finops run`.
    """
    rng = Random(5)
    records = draw_fails(5, 240, shared=True)
    for first in range(0, len(records), 4):
        group = records[first : first + 4]
        owed = sum(record["qty"] for record in group)
        kinds = ("box_qty", "stock_loan_available", "recall_outstanding", "depot_qty")
        stock = {**dict.fromkeys(kinds, 0), "pending_receives": 0, rng.choice(kinds): owed}
        stock["depot_transit_days"] = rng.choice((1, 3))
        for record in group:
            record |= {"inventory": stock, "ftrs": []}
    given = write(tmp_path / "f.jsonl", records)
    today = rows(finops("run", given, "-q", "--backend", "engine", "--no-receives").stdout)
    book = rows(finops("book", given, "-q").stdout)
    shared = 0
    for mine, theirs in zip(book, today, strict=True):
        if mine["book"] is not None:
            shared += mine["book"]["of"] > 1
            assert without_rationale(mine["resolution"]) == without_rationale(theirs["resolution"])
    assert shared > 40


@pytest.mark.parametrize(
    ("seed", "count"), [(3, 300), pytest.param(4, scaled(2_000, 6_000), marks=pytest.mark.slow)]
)
def test_steps_take_exactly_the_allotment(
    seed: int, count: int, finops: Finops, tmp_path: Path
) -> None:
    """Rule: the steps, the fallbacks and the residual of a part are its allotment."""
    given = write(tmp_path / "f.jsonl", draw_fails(seed, count, shared=True))
    proof = tmp_path / "proof.jsonl"
    lines = rows(finops("book", given, "-q", "--certificate", proof).stdout)
    shared = 0
    for line in lines:
        if line["allotment"] is None:
            continue
        shared += line["book"]["of"] > 1
        assert_plan_is_the_allotment(line)
    assert shared > count / 8


def assert_plan_is_the_allotment(line: dict[str, Any]) -> None:
    plan, allotment = line["resolution"], line["allotment"]
    held = {
        kind: sum(each["qty"] for each in allotment if each["kind"] == kind)
        for kind in (*BY_KIND, *FALLBACKS)
    }
    for kind, actions in BY_KIND.items():
        steps = [step["qty"] for step in plan["resolution_steps"] if step["action"] in actions]
        assert sum(steps) == held[kind], kind
    fallbacks = {
        plan["fallback_strategy"]: plan["fallback_qty"],
        plan["secondary_fallback"]: plan["secondary_fallback_qty"],
    }
    for kind, action in FALLBACKS.items():
        assert fallbacks.get(action, 0) == held[kind], kind
    covering = sum(each["qty"] for each in allotment if not each.get("beside_borrow"))
    assert plan["residual_short"] == line["book"]["uncovered"] == line["fail"]["qty"] - covering
