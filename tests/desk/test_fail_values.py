"""The values of the page of one fail: each number comes from the line, or from its rule."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.parse import decode, parse_fail
from finops_cli.rules.ledger import Ledger
from finops_cli.service.desk.fail.bars import Span, draw_bar
from finops_cli.service.desk.fail.coverage_chart import SHOWN_STEPS, make_coverage_chart
from finops_cli.service.desk.fail.decision_form import (
    StepRow,
    TypedForm,
    ask_decision,
    list_step_rows,
)
from finops_cli.service.desk.fail.letters import write_fail_letters
from finops_cli.service.desk.fail.record import GivenRecord
from finops_cli.service.desk.fail.score_chart import make_score_chart
from finops_cli.service.problems import ServiceError
from finops_cli.views.fail_page.line import PlanAnswer, read_fail_line
from tests.support.program import ROOT, call_finops

KB = load_kb(bundled_kb_dir())
LINES = call_finops("run", "examples/monday.jsonl", "--no-timing", "-q").stdout.splitlines()
RECORDS = (ROOT / "examples/monday.jsonl").read_bytes().splitlines()
LINE = read_fail_line(LINES[0])
GIVEN = GivenRecord(line=RECORDS[0], record=parse_fail(decode(RECORDS[0])).value)


def plan() -> PlanAnswer:
    assert LINE.resolution is not None
    return LINE.resolution


def changed(**triage: Any) -> bytes:
    """Return the first line with other values in its triage."""
    given = json.loads(LINES[0])
    given["triage"] |= triage
    return json.dumps(given).encode()


def test_score_is_a_waterfall_with_rules_and_reasons() -> None:
    """Each part begins where the one before it ends, names its rule, and says why it is there."""
    chart = make_score_chart(LINE, GIVEN, KB)
    assert chart is not None
    assert [(row.label, row.points) for row in chart.rows] == [
        ("age", "+18.0"),
        ("value", "+25.0"),
        ("regulatory", "+28.0"),
        ("counterparty", "+6.0"),
        ("base", "77.0"),
        ("inventory", "\N{MULTIPLICATION SIGN} 0.90"),
        ("concentration", "\N{MULTIPLICATION SIGN} 1.20"),
        ("score", "83.2"),
    ]
    assert all(row.rule in KB.entries for row in chart.rows)
    assert chart.rows[0].why == "7 (settlement days since settlement date); band over 6 to 9"
    assert chart.rows[2].why == "threshold"
    assert chart.rows[6].why == "threshold \N{MULTIPLICATION SIGN} 1.20"
    assert '<rect class="span factor" x="180" y="4" width="250"' in chart.rows[1].bar
    assert chart.sentence.startswith("age 18 + value 25 + regulatory 28 + counterparty 6 = 77,")
    assert chart.sentence.endswith("= 83.16 \N{RIGHTWARDS ARROW} 83.2")


def test_score_without_the_record_names_the_bands() -> None:
    """A fact that only the record has is named by the band of the factor's value."""
    chart = make_score_chart(LINE, None, KB)
    assert chart is not None
    assert chart.rows[3].why.startswith("band from 3 to 5 (percent of")
    assert chart.rows[6].why == "its conditions are in the record"


def test_score_of_other_rules_is_not_explained_by_these() -> None:
    """A factor whose band has another value here says so, and no point is made up."""
    parts = json.loads(LINES[0])["triage"]["score_components"] | {"age_factor": 61}
    chart = make_score_chart(read_fail_line(changed(score_components=parts)), GIVEN, KB)
    assert chart is not None
    assert chart.rows[0].why.endswith("scored by other rules")
    assert chart.rows[0].points == chart.sentence == ""


def test_score_that_lacks_a_part_is_not_drawn() -> None:
    """A line of an older version, without a modifier, has a page without the waterfall."""
    line = read_fail_line(changed(score_components={"age_factor": 60, "base_score": 77}))
    assert make_score_chart(line, GIVEN, KB) is None


def test_plan_climbs_to_what_it_covers() -> None:
    """Steps, fallbacks and what is left stand behind each other, and end at 100 percent."""
    chart = make_coverage_chart(plan(), 32_000)
    assert (chart.owed, chart.coverable, chart.is_covered) == (32_000, 28_000, False)
    assert [row.kind for row in chart.rows] == ["step"] * 3 + ["fallback"] * 2 + ["residual"]
    last = chart.rows[-1]
    assert 'class="span kept" x="0" y="4" width="875"' in last.bar
    assert 'class="span residual" x="875" y="4" width="125"' in last.bar
    assert chart.residual == "4,000 shares have no source: escalate"


def test_borrow_beside_a_recall_says_what_is_sourced_twice() -> None:
    """A recall that may come late and the borrow beside it overlap in the chart, and in words."""
    lines = (ROOT / "examples/book/fails.expected.jsonl").read_bytes().splitlines()
    beside = read_fail_line(lines[5]).resolution
    assert beside is not None
    recall, borrow = make_coverage_chart(beside, 6_000).rows[-2:]
    assert (recall.shares, borrow.shares, recall.why) == (3_000, 2_000, "")
    assert borrow.why == "beside the recall, which may come late: 1,500 of the same shares"
    assert 'class="span fallback" x="416" y="4" width="500"' in recall.bar
    assert 'class="span fallback" x="666" y="4" width="334"' in borrow.bar
    assert all(
        not row.why for row in make_coverage_chart(plan(), 32_000).rows if row.kind == "fallback"
    )


def test_long_plan_is_folded_behind_its_first_steps() -> None:
    """A plan of 500 steps shows the first, and keeps every other one."""
    given = json.loads(LINES[0])
    step = given["resolution"]["resolution_steps"][0]
    given["resolution"]["resolution_steps"] = [step | {"step": n} for n in range(1, 501)]
    long = read_fail_line(json.dumps(given).encode()).resolution
    assert long is not None
    chart = make_coverage_chart(long, 32_000)
    steps = [row for row in chart.rows if row.kind == "step"]
    assert (len(steps), len(chart.folded)) == (SHOWN_STEPS, 500 - SHOWN_STEPS)
    assert list_step_rows(long) == ()


@pytest.mark.parametrize(
    ("start", "end", "place"),
    [
        ("0", "50", (0, 500)),
        ("50", "40", (400, 100)),
        ("99.99", "100", (997, 3)),
        ("90", "150", (900, 100)),
    ],
)
def test_bar_stays_inside_its_cell(start: str, end: str, place: tuple[int, int]) -> None:
    """A bar may run backwards, be thin, or go beyond the end: it is seen, and stays inside."""
    drawn = draw_bar([Span(Decimal(start), Decimal(end), "step")], Decimal(100))
    assert f'class="span step" x="{place[0]}" y="4" width="{place[1]}"' in drawn


def test_fail_gets_the_letters_that_it_asks_for() -> None:
    """The letters are those of `finops letters`, with the facts of the record."""
    found = write_fail_letters(LINES[0], GIVEN, KB)
    assert [each.kind for each in found.letters] == ["chaser", "recall"]
    assert "F-1001         594918104  12,000          3  RVP   T+1" in found.letters[0].text
    assert found.letters[0].blanks > 0


def test_letters_do_without_the_record() -> None:
    """Without the record, or beside one of another name, a letter leaves out what it alone has."""
    other = GivenRecord(line=RECORDS[1], record=None)
    for given in (None, other):
        found = write_fail_letters(LINES[0], given, KB)
        assert "12,000" in found.letters[0].text
        assert "Age, days" not in found.letters[0].text


def typed(**fields: Any) -> TypedForm:
    return TypedForm(kind="override", reason="because", **fields)


def test_steps_as_they_were_are_no_change() -> None:
    """A form that comes back as it was shown asks for no other steps, commas or not."""
    rows = list_step_rows(plan())
    asked = ask_decision(typed(tier="HIGH", steps=rows), plan(), Ledger(32_000, 1))
    assert (asked.tier, asked.steps) == ("HIGH", None)
    first = StepRow(
        **{n: getattr(rows[0], n) for n in rows[0].__struct_fields__} | {"qty": "12,000"}
    )
    assert ask_decision(typed(steps=(first, *rows[1:])), plan(), Ledger(32_000, 1)).steps is None
    assert ask_decision(typed(steps=()), plan(), Ledger(32_000, 1)).steps is None


def test_changed_steps_get_their_coverage() -> None:
    """Coverage and rest of a changed step follow from its shares, as the rules count them."""
    rows = list_step_rows(plan())[1:]
    steps = ask_decision(typed(steps=rows), plan(), Ledger(32_000, 1)).steps
    assert steps is not None
    assert [(each["step"], each["qty"]) for each in steps] == [(1, 8_000), (2, 0)]
    assert (steps[0]["coverage_after_step_pct"], steps[0]["remaining_short"]) == (25.0, 24_000)
    assert ask_decision(typed(steps=(StepRow(),)), plan(), Ledger(32_000, 1)).steps == []


def test_step_that_covers_too_much_keeps_its_shares() -> None:
    """A step of more shares than are owed is sent as typed, for the check to find."""
    row = StepRow(action="APPLY_BOX", qty="40,000")
    steps = ask_decision(typed(steps=(row,)), plan(), Ledger(32_000, 1)).steps
    assert steps is not None
    assert (steps[0]["qty"], steps[0]["remaining_short"]) == (40_000, -8_000)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (StepRow(action="EXPLODE"), "the action of step 1 is EXPLODE"),
        (StepRow(action="APPLY_BOX", qty="-5"), "the shares of step 1"),
        (StepRow(action="APPLY_BOX", qty="1" * 40), "the shares of step 1"),
        (StepRow(action="CHASE_FTR", settlement_type="COD"), "the type of step 1 is COD"),
    ],
)
def test_unusable_step_names_its_place(row: StepRow, part: str) -> None:
    """A word or a number that a step cannot have is refused with the number of the step."""
    with pytest.raises(ServiceError, match=part):
        ask_decision(typed(steps=(row,)), plan(), Ledger(32_000, 1))
