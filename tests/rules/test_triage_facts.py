"""A triage is computed once for all records with equal facts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from msgspec import structs

from finops_cli.domain import exact_json
from finops_cli.domain.enums import RegShoStatus
from finops_cli.domain.fail import CorporateAction, FailRecord
from finops_cli.kb.bands import Bound, Cells
from finops_cli.kb.factors import FACTORS, NumberOf
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules import triage as triages
from finops_cli.rules.derivation import SIDES
from finops_cli.rules.triage_facts import collect_bounds, read_facts
from tests.rules.test_new_factor import ENTRY, RECORD, SIZE

RECORDS = 500
CHOICES: dict[str, list[Any]] = {
    "age_days": list(range(18)),
    "market_value": ["0", "99999.99", "100000", "200000", "1000000", "5000000", "5000000.01"],
    "inventory_coverage_pct": ["0", "24.99", "25", "59.9", "60", "75.0", "99.99", "100", "250"],
    "cp_fail_rate_pct": ["0", "0.99", "1", "3", "4", "4.01", "5", "5.01", "6", "6.01", "100"],
    "security_fail_rate_pct_adv": [None, "0", "2", "2.01"],
    "cns_direction": ["FTD", "FTR", "N_A"],
    "cns_position": [None, -5, 0, 5],
    "reg_sho_threshold": [True, False],
    "reg_sho_status": [None, *get_args(RegShoStatus)],
    "cns_eligible": [True, False],
    "awaiting_street_receipt": [True, False],
    "dk_reason": [None, None, None, "unknown trade"],
    "corporate_action": [None, None, None, CorporateAction()],
}
"""Facts of a record; the numbers are bounds of the rules, and those on both sides."""
OWN_BOUNDS = {
    "approaching_min_days": 5,
    "close_out_min_days": 11,
    "deadline_standard": 8,
    "deadline_threshold": 14,
    "aged_min_days": 15,
    "ftr_monitor_max_days": 11,
    "high_value_min_usd": Decimal(200_000),
    "dvp_deliver_min_pct": Decimal(60),
    "problem_cp_over_pct": Decimal(4),
}
"""Bounds of a triage that are not those of a band, as many of the bundled rules are."""


def draw_record(rng: Random) -> FailRecord:
    """Draw a record near the bounds of the rules."""
    facts = {name: rng.choice(values) for name, values in CHOICES.items()}
    for name in CHOICES:
        if isinstance(facts[name], str) and facts[name][0].isdigit():
            facts[name] = Decimal(facts[name])
    direction = facts["cns_direction"]
    side = SIDES[direction] if direction in SIDES else rng.choice(["Sell", "Buy"])
    return FailRecord(cusip="594918104", side=side, qty=5, counterparty="DTC-0005", **facts)


@pytest.mark.parametrize("has_own_bounds", [False, True], ids=["bundled", "own"])
def test_records_with_equal_facts_have_one_triage(kb: KnowledgeBase, has_own_bounds: bool) -> None:
    """The triage of the record that is made for some facts is, digit for digit, the triage of every
    record with these facts: the rules see no difference between them.
    """
    if has_own_bounds:
        scoring = structs.replace(kb.scoring, cp_rate_over_pct=Decimal(6))
        kb = structs.replace(kb, scoring=scoring, triage=structs.replace(kb.triage, **OWN_BOUNDS))
    compared = collect_bounds(kb)
    assert compared.is_complete
    rng = Random(20261130)
    for record in (draw_record(rng) for _ in range(RECORDS)):
        facts = read_facts(record, compared, kb)
        shared = triages._triage_facts(facts, kb)
        alone = triages._triage(record, facts, kb)
        assert (shared.kind, shared.score) == (alone.kind, alone.score)
        assert exact_json.encode(shared.triage) == exact_json.encode(alone.triage)


def test_number_of_a_cell_is_between_the_same_bounds() -> None:
    """A bound separates two numbers exactly when they are in different cells, and the one number
    that `Cells` gives for each cell is in that cell.
    """
    rng = Random(5)
    for _ in range(200):
        bounds = [
            Bound(Decimal(rng.randrange(8)) / 2, rng.random() < 0.5)
            for _ in range(rng.randrange(6))
        ]
        cells = Cells(bounds)
        assert [cells.cell(number) for number in cells.numbers] == list(range(len(cells.numbers)))
        for x in (Decimal(quarters) / 4 for quarters in range(-2, 18)):
            passed = {bound for bound in bounds if x > bound.edge or bound == (x, False)}
            assert cells.cell(x) == len(passed)


def test_whole_bounds_of_a_table_divide_as_its_bands(kb: KnowledgeBase) -> None:
    """Whole numbers are in one cell exactly when they are in one band, whatever belongs to it."""
    table = kb.scoring.age_factor
    cells = Cells(table.bounds(of_whole_numbers=True))
    assert [cells.cell(day) for day in range(100)] == [table.index(day) for day in range(100)]


@pytest.mark.parametrize("read", [SIZE.read, NumberOf("qty")], ids=["function", "number"])
def test_factor_of_another_number_tells_records_apart(tmp_path: Path, read: Any) -> None:
    """Records with equal facts get different scores where a new factor reads what the facts lack,
    whether its row names the number or has a function.
    """
    folder = tmp_path / "kb"
    shutil.copytree(bundled_kb_dir(), folder)
    scoring = folder / "scoring.toml"
    text = scoring.read_text().replace("cp_history = 0.10 }", "cp_history = 0.10, size = 0.05 }")
    scoring.write_text(text + ENTRY)
    kb = load_kb(folder, (*FACTORS, replace(SIZE, read=read)))
    small, large = (parse_fail(RECORD | {"qty": qty}).value for qty in (500, 50_000))
    assert small is not None
    assert large is not None
    compared = collect_bounds(kb)
    assert read_facts(small, compared, kb) == read_facts(large, compared, kb)
    bases = [triages.triage(each, kb).score_components.base_score for each in (small, large)]
    assert bases == [Decimal("69.5"), Decimal("74.5")]
