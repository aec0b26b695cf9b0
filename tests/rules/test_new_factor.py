"""A fifth factor of the score, added from outside the package: one row and its kb entries."""

from __future__ import annotations

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.checking.outputs import check_lines
from finops_cli.datasets.scratchpad.triage import render_triage_scratchpad
from finops_cli.datasets.stages import STAGES, features, grade, verify_row
from finops_cli.domain import exact_json
from finops_cli.domain.triage import ScoreComponents
from finops_cli.errors import KnowledgeError
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.kb.factors import FACTORS, Factor, Quantity
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import answer_schema, triage_task
from finops_cli.models.verified_backend import parse_and_check
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


def triage_record(kb: KnowledgeBase) -> dict[str, Any]:
    """Triage RECORD by the rules of `kb`."""
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    answer: dict[str, Any] = exact_json.decode(exact_json.encode(triage(record, kb)))
    return answer


def violated_rules(answer: dict[str, Any], kb: KnowledgeBase, *, with_record: bool) -> list[str]:
    """Check `answer`, with or without its record, and return the rules that it violates."""
    line = {"fail": RECORD, "triage": answer} if with_record else answer
    [verdict] = check_lines([exact_json.encode(line)], kb)
    return [finding.rule for finding in verdict.findings]


@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_new_factor_enters_base_score_and_reason(
    variant: str, request: pytest.FixtureRequest
) -> None:
    """The weighted value of a new factor is part of the base score and of the reason, whether the
    answer shows the factor or not.
    """
    answer = triage_record(request.getfixturevalue(variant))
    assert answer["score_components"]["base_score"] == BASE
    assert answer["priority_score"] == PRIORITY
    assert "size 2" in answer["reason"]


def test_new_factor_without_a_field_is_hidden(
    kb_with_shown_factor: KnowledgeBase, kb_with_hidden_factor: KnowledgeBase
) -> None:
    """`score_components` has a field for a new factor exactly when its row names one."""
    fields = list(ScoreComponents.__struct_fields__)
    assert list(triage_record(kb_with_hidden_factor)["score_components"]) == fields
    assert list(triage_record(kb_with_shown_factor)["score_components"]) == [*fields, "size_factor"]
    assert triage_record(kb_with_shown_factor)["score_components"]["size_factor"] == 40


@pytest.mark.parametrize("with_record", [True, False], ids=["record", "alone"])
@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_check_accepts_a_correct_answer_with_new_factor(
    variant: str, with_record: bool, request: pytest.FixtureRequest
) -> None:
    """The checker accepts the rules' answer with a fifth factor, with and without the record."""
    kb = request.getfixturevalue(variant)
    assert violated_rules(triage_record(kb), kb, with_record=with_record) == []


@pytest.mark.parametrize("with_record", [True, False], ids=["record", "alone"])
@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_check_rejects_a_base_that_no_factor_value_gives(
    variant: str, with_record: bool, request: pytest.FixtureRequest
) -> None:
    """A base score that no value of the new factor gives is a finding of `score.base`."""
    kb = request.getfixturevalue(variant)
    answer = triage_record(kb)
    answer["score_components"]["base_score"] = Decimal("70.5")
    assert "score.base" in violated_rules(answer, kb, with_record=with_record)


def test_check_without_record_allows_any_hidden_factor_value(
    kb_with_shown_factor: KnowledgeBase, kb_with_hidden_factor: KnowledgeBase
) -> None:
    """A base score that another value of the hidden factor gives is a finding only when the record
    is known.
    """
    for kb, alone in (
        (kb_with_hidden_factor, []),
        (kb_with_shown_factor, ["score.base", "score.priority"]),
    ):
        answer = triage_record(kb)
        answer["score_components"]["base_score"] = Decimal("69.5")
        answer["priority_score"] = Decimal("83.4")
        answer["reason"] = "It is a CNS fail to deliver."
        assert violated_rules(answer, kb, with_record=False) == alone
        assert violated_rules(answer, kb, with_record=True) == ["score.base", "score.priority"]


def test_check_rejects_a_factor_value_outside_its_table(
    kb_with_shown_factor: KnowledgeBase,
) -> None:
    """A factor value that is not in the factor's table violates its entry. A missing field violates
    `schema.required`.
    """
    answer = triage_record(kb_with_shown_factor)
    answer["score_components"]["size_factor"] = 41
    assert "score.size_factor" in violated_rules(answer, kb_with_shown_factor, with_record=False)
    assert "score.size_factor" in violated_rules(answer, kb_with_shown_factor, with_record=True)
    del answer["score_components"]["size_factor"]
    assert violated_rules(answer, kb_with_shown_factor, with_record=False) == ["schema.required"]


def test_kb_with_factor_but_no_entry_is_refused(kb_dir: Path) -> None:
    """A weight without a factor, a factor without a weight and a factor without a table are
    refused.
    """
    with pytest.raises(KnowledgeError, match=r"score\.base: .* Expected the members age"):
        load_kb(kb_dir)
    with pytest.raises(KnowledgeError, match=r"score\.base: .* Expected the members age"):
        load_kb(bundled_kb_dir(), (*FACTORS, SIZE))
    with pytest.raises(KnowledgeError, match=r"score\.bulk_factor"):
        load_kb(kb_dir, (*FACTORS, replace(SIZE, kb_id="score.bulk_factor")))


def test_bundled_factors_keep_the_output_of_card_1(kb: KnowledgeBase) -> None:
    """With the bundled factors a triage has the fields of card 1, in the order of card 1."""
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    golden = GOLDEN / "triage-card-1.jsonl"
    assert exact_json.encode(triage(record, kb)) == golden.read_bytes().rstrip(b"\n")


def test_new_factor_is_read_back_from_the_answer_of_a_model(
    kb_with_shown_factor: KnowledgeBase,
) -> None:
    """The rules' own answer passes the loop of a model; its grammar and its schema know it."""
    kb = kb_with_shown_factor
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    task = triage_task(record, kb)
    reply = parse_and_check(task, exact_json.encode(task.reference).decode(), False, kb.models)
    assert (reply.findings, reply.answer is not None) == ([], True)
    grammar = answer_schema(task.codec)["properties"]["score_components"]
    assert "size_factor" in grammar["required"]
    assert "size_factor" in task.codec.json_schema["$defs"]["ScoreComponents"]["required"]


def test_new_factor_is_in_training_rows_and_grades(kb_with_shown_factor: KnowledgeBase) -> None:
    """A row with the new factor is verified, counted and graded field by field."""
    kb = kb_with_shown_factor
    row = STAGES["triage"].make_row(1, 7, kb, "coverage")
    assert verify_row(row, kb) == []
    assert dict(features(row, kb))["split"] == row.split
    assert grade(row, row.answer, kb) == (True, True, True)
    stage = GRADED_STAGES["triage"]
    answer = stage.codec(kb).read(exact_json.decode(row.answer))
    assert "size_factor" in stage.fields_of(answer)


@pytest.mark.parametrize("variant", ["kb_with_shown_factor", "kb_with_hidden_factor"])
def test_new_factor_is_a_step_of_the_scratchpad(
    variant: str, request: pytest.FixtureRequest
) -> None:
    """The working shows quantity, value and points, and ends in the score of the rules."""
    kb = request.getfixturevalue(variant)
    record = parse_fail(dict(RECORD)).value
    assert record is not None
    text = render_triage_scratchpad(record, triage(record, kb), kb)
    assert " size 5000 40\n" in text
    assert "+0020=0715" in text
    assert text.splitlines()[-1].startswith("85.8 ")
