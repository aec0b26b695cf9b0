"""A fifth factor of the score, added from outside the package: one row and its entries."""

from __future__ import annotations

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.checking.outputs import check_lines
from finops_cli.domain import exact_json
from finops_cli.domain.triage import ScoreComponents
from finops_cli.errors import KnowledgeError
from finops_cli.kb.factors import FACTORS, Factor, Quantity
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules.triage import triage
from tests.support.program import GOLDEN

SIZE = Factor(
    name="size",
    kb_id="score.size_factor",
    read=lambda record, state: record.qty,
    word="size",
    field="size_factor",
    quantity=Quantity(name="size", step=Decimal(1)),
)
ENTRY = """

[[entry]]
id = "score.size_factor"
kind = "bands"
title = "Size factor"
source = "decision"
as_of = "2026-11-20"
unit = "shares"
text = "A large fail is harder to cover."
rows = [{ below = 1000, value = 0 }, { below = 10000, value = 40 }, { value = 100 }]
"""
RECORD = {
    "cusip": "594918104",
    "side": "Sell",
    "qty": 5000,
    "counterparty": "DTC-0005",
    "age_days": 7,
    "market_value": "$2.1M",
    "cns_position": -5000,
    "cns_direction": "FTD",
    "reg_sho_threshold": True,
    "inventory_coverage_pct": 10,
    "cp_fail_rate_pct": 4,
}
"""Scores 69.5 and 83.4 without the size factor, which adds 40 x 0.05 to the base."""
BASE, PRIORITY = Decimal("71.5"), Decimal("85.8")


@pytest.fixture
def kb_dir(tmp_path: Path) -> Path:
    """A copy of the knowledge base with a fifth weight and a fifth table."""
    folder = tmp_path / "kb"
    shutil.copytree(bundled_kb_dir(), folder)
    scoring = folder / "scoring.toml"
    text = scoring.read_text()
    assert "cp_history = 0.10 }" in text
    scoring.write_text(
        text.replace("cp_history = 0.10 }", "cp_history = 0.10, size = 0.05 }") + ENTRY
    )
    return folder


@pytest.fixture
def kb_with_shown_factor(kb_dir: Path) -> KnowledgeBase:
    return load_kb(kb_dir, (*FACTORS, SIZE))


@pytest.fixture
def kb_with_hidden_factor(kb_dir: Path) -> KnowledgeBase:
    return load_kb(kb_dir, (*FACTORS, replace(SIZE, field=None)))


def answer_of(kb: KnowledgeBase) -> dict[str, Any]:
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    answer: dict[str, Any] = exact_json.decode(exact_json.encode(triage(record, kb)))
    return answer


def faults(answer: dict[str, Any], kb: KnowledgeBase, *, with_record: bool) -> list[str]:
    line = {"fail": RECORD, "triage": answer} if with_record else answer
    [verdict] = check_lines([exact_json.encode(line)], kb)
    return [finding.rule for finding in verdict.findings]


@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_new_factor_enters_the_base_and_the_reason(
    variant: str, request: pytest.FixtureRequest
) -> None:
    """The weighted value is part of the base score, whether it is shown or not."""
    answer = answer_of(request.getfixturevalue(variant))
    assert answer["score_components"]["base_score"] == BASE
    assert answer["priority_score"] == PRIORITY
    assert "size 2" in answer["reason"]


def test_new_factor_is_shown_only_with_a_field(
    kb_with_shown_factor: KnowledgeBase, kb_with_hidden_factor: KnowledgeBase
) -> None:
    """`score_components` has a field for the factor exactly when its row names one."""
    fields = list(ScoreComponents.__struct_fields__)
    assert list(answer_of(kb_with_hidden_factor)["score_components"]) == fields
    assert list(answer_of(kb_with_shown_factor)["score_components"]) == [*fields, "size_factor"]
    assert answer_of(kb_with_shown_factor)["score_components"]["size_factor"] == 40


@pytest.mark.parametrize("with_record", [True, False], ids=["record", "alone"])
@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_check_accepts_the_answer_of_the_rules(
    variant: str, with_record: bool, request: pytest.FixtureRequest
) -> None:
    """The checker knows the factor, with and without the record."""
    kb = request.getfixturevalue(variant)
    assert faults(answer_of(kb), kb, with_record=with_record) == []


@pytest.mark.parametrize("with_record", [True, False], ids=["record", "alone"])
@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_check_rejects_a_base_that_no_value_gives(
    variant: str, with_record: bool, request: pytest.FixtureRequest
) -> None:
    """A base that no value of the factor gives is a finding of `score.base`."""
    kb = request.getfixturevalue(variant)
    answer = answer_of(kb)
    answer["score_components"]["base_score"] = Decimal("70.5")
    assert "score.base" in faults(answer, kb, with_record=with_record)


def test_check_without_the_record_allows_each_value_of_a_hidden_factor(
    kb_with_shown_factor: KnowledgeBase, kb_with_hidden_factor: KnowledgeBase
) -> None:
    """A base that another value of the hidden factor gives is wrong only against the record."""
    for kb, alone in (
        (kb_with_hidden_factor, []),
        (kb_with_shown_factor, ["score.base", "score.priority"]),
    ):
        answer = answer_of(kb)
        answer["score_components"]["base_score"] = Decimal("69.5")
        answer["priority_score"] = Decimal("83.4")
        assert faults(answer, kb, with_record=False) == alone
        assert faults(answer, kb, with_record=True) == ["score.base", "score.priority"]


def test_check_knows_the_values_of_a_shown_factor(kb_with_shown_factor: KnowledgeBase) -> None:
    """A value that is not in the table of the factor is a finding of its entry."""
    answer = answer_of(kb_with_shown_factor)
    answer["score_components"]["size_factor"] = 41
    assert "score.size_factor" in faults(answer, kb_with_shown_factor, with_record=False)
    assert "score.size_factor" in faults(answer, kb_with_shown_factor, with_record=True)
    del answer["score_components"]["size_factor"]
    assert faults(answer, kb_with_shown_factor, with_record=False) == ["schema.required"]


def test_factor_without_its_entry_is_refused(kb_dir: Path) -> None:
    """A weight without a row, a row without a weight and a row without a table are refused."""
    with pytest.raises(KnowledgeError, match=r"score\.base: members must be age"):
        load_kb(kb_dir)
    with pytest.raises(KnowledgeError, match=r"score\.base: members must be age"):
        load_kb(bundled_kb_dir(), (*FACTORS, SIZE))
    with pytest.raises(KnowledgeError, match=r"score\.bulk_factor"):
        load_kb(kb_dir, (*FACTORS, replace(SIZE, kb_id="score.bulk_factor")))


def test_shipped_answer_has_the_fields_of_card_1(kb: KnowledgeBase) -> None:
    """The shipped factors leave the output as card 1 defines it: these fields, in this order."""
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    golden = GOLDEN / "triage-card-1.jsonl"
    assert exact_json.encode(triage(record, kb)) == golden.read_bytes().rstrip(b"\n")
