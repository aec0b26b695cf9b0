"""The desk with answerers of every kind: an answer with findings never stands, and stage 2 runs only where it applies."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import ModelNames
from finops_cli.pipeline.desk import Desk
from finops_cli.pipeline.lines import encode
from finops_cli.pipeline.tally import Tally
from tests.conftest import EXAMPLES, Finops, a_fail, jsonl, rows

INVENTORY = {"box_qty": 1000, "stock_loan_available": 0, "recall_outstanding": 0, "pending_receives": 9000}


class Model:
    """A real answerer that is wrong in a chosen way: it mishears the question, or misquotes the engine's answer."""

    name = "model"
    models = ModelNames("small", "smaller")
    prompt_sha256 = "0" * 64
    is_reference = False

    def __init__(
        self, book: Book, hears: Callable[[Any], Any] = lambda asked: asked, says: Callable[[Any], Any] = lambda answer: answer
    ):
        self._engine, self._hears, self._says = Engine(book), hears, says

    def triage(self, fail: FailRecord) -> Triage:
        return cast(Triage, self._says(self._engine.triage(self._hears(fail))))

    def resolve(self, case: ResolverInput) -> Resolution:
        return cast(Resolution, self._says(self._engine.resolve(self._hears(case))))


def _a_tenth_more(answer: Any) -> Any:
    return replace(answer, priority_score=answer.priority_score + Decimal("0.1")) if isinstance(answer, Triage) else answer


def _a_share_less(answer: Any) -> Any:
    return replace(answer, residual_short=answer.residual_short - 1) if isinstance(answer, Resolution) else answer


def _younger(asked: Any) -> Any:
    return replace(asked, age_days=2) if isinstance(asked, FailRecord) else asked


def _fuller_box(asked: Any) -> Any:
    return replace(asked, inventory=replace(asked.inventory, box_qty=2000)) if isinstance(asked, ResolverInput) else asked


def _run(book: Book, backend: Any) -> tuple[dict[str, Any], Tally]:
    line = jsonl(a_fail(inventory=INVENTORY)).strip()
    written = Desk("run", backend, book, timed=False).process(1, line)
    tally = Tally()
    tally.count(written.line, written.owed)
    return json.loads(encode(written.line), parse_float=Decimal), tally


def test_a_wrong_score_never_stands(book: Book) -> None:
    """The line fails, names rule, expected and actual, keeps what was received as raw, and hands nothing on."""
    line, tally = _run(book, Model(book, says=_a_tenth_more))
    assert (line["status"], line["triage"], line["resolution"]) == ("failed", None, None)
    [finding] = line["verification"]["triage"]
    assert (finding["rule"], finding["path"]) == ("score.priority", "/priority_score")
    assert (finding["expected"], finding["actual"]) == (Decimal("83.4"), Decimal("83.5"))
    assert line["raw"]["triage"]["priority_score"] == Decimal("83.5")
    assert line["resolution_skipped"] == "the triage does not stand"
    assert tally.violations == {"score.priority": 1}
    assert not tally.all_verified


def test_a_wrong_plan_never_stands_and_its_triage_does(book: Book) -> None:
    line, tally = _run(book, Model(book, says=_a_share_less))
    assert (line["status"], line["resolution"]) == ("failed", None)
    assert line["triage"]["priority_score"] == Decimal("83.4")
    assert [finding["rule"] for finding in line["verification"]["resolution"]] == ["plan.residual"]
    assert line["raw"]["resolution"]["residual_short"] == 3999
    assert tally.plans == 0


@pytest.mark.parametrize(
    ("stage", "hears", "rule"), [("triage", _younger, "score.age_factor"), ("resolution", _fuller_box, "waterfall.quantity")]
)
def test_a_consistent_answer_to_another_record_never_stands(
    stage: str, hears: Callable[[Any], Any], rule: str, book: Book
) -> None:
    """Only the record can tell: the answer multiplies out, but for another age or another box."""
    line, _ = _run(book, Model(book, hears=hears))
    assert (line["status"], line[stage]) == ("failed", None)
    assert rule in [finding["rule"] for finding in line["verification"][stage]]


def test_rejected_lines_were_never_asked(finops: Finops) -> None:
    """attempts counts what was asked of an answerer."""
    good, bad = rows(finops("triage", "-", given=jsonl(a_fail(), {"qty": 1})).stdout)
    assert (good["provenance"]["attempts"], bad["provenance"]["attempts"]) == (1, 0)


def test_plans_without_a_triage_are_short_of_unknown_priority(finops: Finops) -> None:
    """The summary of `resolve` has no tiers to tell the residual by."""
    done = finops("resolve", EXAMPLES / "cards/cases.jsonl")
    assert "uncovered    unknown 4,000" in done.stderr.decode()


def test_an_empty_dk_reason_is_not_set(finops: Finops) -> None:
    """decision 6: text that says nothing does not make a dispute."""
    empty, told = rows(finops("triage", "-", given=jsonl(a_fail(dk_reason=""), a_fail(fail_id="F-2", dk_reason="price"))).stdout)
    assert (empty["triage"]["category"], told["triage"]["category"]) == ("CNS_FAIL", "DK_DISPUTE")


def test_ten_thousand_receipts_make_a_plan_that_the_checker_takes(finops: Finops, tmp_path: Path) -> None:
    """Full gridlock among 9,000 brokers: the narrative names a few, the plan all, and a repeated name harms nothing."""
    ftr = {"qty": 1, "age_days": 6, "settlement_type": "RVP", "settlement_date": "T+1", "cp_fail_rate_pct": 1}
    ftrs = [{**ftr, "dtc": f"DTC-{number:04d}", "partial_delivery_history": False} for number in range(9000)]
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(a_fail(inventory=INVENTORY, ftrs=ftrs, qty=20_000), a_fail(ftrs=ftrs, inventory=INVENTORY)))
    output = finops("run", fails).stdout
    first, second = rows(output)
    assert len(first["resolution"]["gridlock_parties"]) == 9000
    assert first["resolution"]["additional_ftrs_chased"] == 8990
    assert len(first["resolution"]["narrative"]) < 1000
    assert second["status"] == "rejected"
    assert finops("check", "-", "--fails", fails, given=output).returncode == 0


def test_a_right_model_stands_under_its_own_name(book: Book) -> None:
    line, tally = _run(book, Model(book))
    assert line["status"] == "ok"
    assert line["provenance"]["models"] == {"triage": "small", "resolver": "smaller"}
    assert (tally.owed, tally.covered, tally.residual, tally.uncovered) == (5000, 1000, 4000, {"CRITICAL": 4000})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cns_direction": "N_A", "side": "Buy"}, "nothing is owed by us"),
        ({"cns_direction": "FTR", "side": "Buy"}, "nothing is owed by us"),
        ({"dk_reason": "unknown trade"}, "until the trade is known"),
        ({"cns_position": 0}, "net obligation is gone"),
        ({"inventory": None}, "no inventory"),
    ],
)
def test_stage_two_says_why_it_does_not_apply(changes: dict[str, Any], reason: str, finops: Finops) -> None:
    """kb: waterfall.applies."""
    [line] = rows(finops("run", "-", given=jsonl(a_fail(**{"inventory": INVENTORY, **changes}))).stdout)
    assert (line["status"], line["resolution"]) == ("ok", None)
    assert reason in line["resolution_skipped"]


def test_a_disputed_case_is_not_resolved(finops: Finops) -> None:
    """A resolver input of category DK_DISPUTE gets no plan, and the checker refuses one for it."""
    case = json.loads((EXAMPLES / "cards/cases.jsonl").read_text())
    [plan] = rows(finops("resolve", "-", given=jsonl(case)).stdout)
    case["triage"]["category"] = "DK_DISPUTE"
    [line] = rows(finops("resolve", "-", given=jsonl(case)).stdout)
    assert (line["status"], line["resolution"]) == ("ok", None)
    assert "until the trade is known" in line["resolution_skipped"]
    judged = {"input": case, "resolution": json.loads(json.dumps(plan["resolution"], default=float))}
    [verdict] = rows(finops("check", "-", given=jsonl(judged)).stdout)
    assert [finding["rule"] for finding in verdict["findings"]] == ["waterfall.applies"]


def test_the_age_of_a_case_is_told_from_its_component(finops: Finops) -> None:
    """Without age_days, 18.0 points are factor 60, days 7-9, so 9; no factor of the table gives 17 points."""
    case = json.loads((EXAMPLES / "cards/cases.jsonl").read_text())
    case["triage"]["score_components"]["age"] = 17
    [line] = rows(finops("resolve", "-", given=jsonl(case)).stdout)
    assert line["error"]["problems"][0]["rule"] == "input.age"
    [line] = rows(finops("resolve", "-", given=jsonl({**case, "age_days": 9})).stdout)
    assert line["status"] == "ok"
