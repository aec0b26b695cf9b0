"""The headline of a line: one thing to do, by the rows of kb `headline.*`."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any, get_args

import msgspec
import pytest

from finops_cli.checking.headline import check_fail_block
from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain import exact_json
from finops_cli.domain.clock import Clock
from finops_cli.domain.headline import Headline, HeadlineAction, summarize
from finops_cli.domain.money import render_quantity
from finops_cli.errors import KnowledgeError
from finops_cli.kb.chapters.wording.headline import compile_headline
from finops_cli.kb.chapters.wording.template import Template
from finops_cli.kb.compiler import Compiler
from finops_cli.kb.entries import Lookup
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.headline import make_headline
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from tests.support.oracle import headline_oracle
from tests.support.oracle.clock.histories import random_record
from tests.support.oracle.random_fails import random_fail
from tests.support.records import a_fail, jsonl

KB = load_kb(bundled_kb_dir())
FAILS = 5_000
TAKEN = ("inventory", "ftrs", "related_fails", "corporate_action", "dk_reason")
STOCK = {"box_qty": 0, "stock_loan_available": 0, "recall_outstanding": 0, "pending_receives": 0}


def headline_of(
    given: dict[str, Any], clock: Clock | None = None
) -> tuple[Headline, dict[str, Any], Any]:
    """The headline of a record, with its triage and its plan as plain objects."""
    fail = parse_fail(given).value
    assert fail is not None, parse_fail(given).problems
    answer = triage(fail, KB)
    case = handoff(fail, answer, KB)
    plan = None if isinstance(case, NotApplicable) else resolve(case, KB)
    made = make_headline(summarize(fail), answer, plan, clock, KB.headline)
    return made, msgspec.to_builtins(answer), None if plan is None else msgspec.to_builtins(plan)


@pytest.mark.slow
def test_headlines_equal_an_independent_truth_table() -> None:
    """5,000 random fails: action and quantity by the table, numbers and names by the plan."""
    rng = Random(20261129)
    seen: Counter[str] = Counter()
    while seen.total() < FAILS:
        given = exact_json.decode(jsonl(random_fail(rng, "F-1")))
        if any(problem.rule == "input.side_direction" for problem in parse_fail(given).problems):
            continue
        made, answer, plan = headline_of(given)
        assert (made.action, made.qty) == headline_oracle.expected(given, answer, plan), given
        assert headline_oracle.contradictions(made.text, given, plan) == [], made.text
        assert made.text.endswith(".")
        seen[made.action] += 1
    assert {*get_args(HeadlineAction)} - {*seen} <= {"NO_ACTION", "INITIATE_BUYIN", "BUY"}, seen


def clock_of(given: dict[str, Any], as_of: str) -> Clock | None:
    """The law's dates of a record; None for facts that contradict each other."""
    fail = parse_fail(given).value
    assert fail is not None
    moment = AsOf(moment=parse_moment(as_of), source="option")
    calendar = builtin_calendar(KB.calendar)
    try:
        return clock_block(fail, moment, deadline_day(fail, KB.triage), calendar, KB.clock)
    except Refused:
        return None


@pytest.mark.parametrize(
    "batch", [0, *(pytest.param(at, marks=pytest.mark.slow) for at in range(1, 25))]
)
def test_headline_with_a_clock_equals_the_table(batch: int) -> None:
    """Random histories with dates: action, quantity and day are those of the line's clock."""
    for seed in range(batch * 120, batch * 120 + 120):
        given, as_of = random_record(seed)
        rng = Random(seed)
        other = exact_json.decode(jsonl(random_fail(rng, "F-1")))
        taken = [key for key in TAKEN if key in other and rng.random() < 0.8]
        given |= {key: other[key] for key in taken}
        if "inventory" in given:
            given["inventory"]["box_qty"] = rng.choice((0, 0, given["qty"] // 2, given["qty"]))
        found = clock_of(given, as_of)
        if found is None:
            continue
        clock = msgspec.to_builtins(found)
        made, answer, plan = headline_of(given, found)
        assert (made.action, made.qty) == headline_oracle.expected(given, answer, plan, clock), seed
        by, end = headline_oracle.expected_by(given, answer, clock)
        assert msgspec.to_builtins(made.by) == by, seed
        assert end in made.text or made.action in ("SEND_DK_NOTICE", "NO_ACTION"), made.text
        assert headline_oracle.contradictions(made.text, given, plan) == [], made.text


def test_headline_of_a_duty_to_purchase_is_no_borrow() -> None:
    """SHO-203(b)(3) is closed out by a purchase alone: the headline does not offer a borrow."""
    days = [{"date": "2026-10-19", "listed": True}]
    facts = {"settlement_date": "2026-10-19", "sale_type": "long", "threshold_days": days}
    given = a_fail(qty=9, cns_position=-9, age_days=18, inventory=STOCK, clock_facts=facts)
    made = headline_of(given, clock_of(given, "2026-11-12T08:00"))[0]
    assert made.action == "BUY"
    assert made.text.startswith("Close out: buy 9 shares of 594918104; a borrow does not count, ")


def test_headline_of_a_replaced_security_names_the_new_one() -> None:
    """The old shares of an event do not deliver: the sentence names the CUSIP of the plan."""
    event = {"pre_event_deliverable": False, "new_cusip": "037833100"}
    given = a_fail(
        qty=9, cns_position=-9, age_days=2, corporate_action=event, reg_sho_threshold=False,
        inventory={**STOCK, "box_qty": 9},
    )  # fmt: skip
    made, _, plan = headline_of(given)
    assert "Option B: deliver the post-event equivalent in 037833100" in plan["narrative"]
    assert made.text == (
        "Deliver 9 shares of 037833100 (which replaces 594918104) today from the box, by T+13 of"
        " the card."
    )


def ftr(qty: int, dtc: str = "DTC-0161") -> dict[str, Any]:
    return {
        "dtc": dtc, "qty": qty, "age_days": 2, "settlement_type": "DVP", "settlement_date": "T+1",
        "cp_fail_rate_pct": 1, "partial_delivery_history": True,
    }  # fmt: skip


ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("in hand", {"inventory": {**STOCK, "box_qty": 9}, "qty": 9, "age_days": 14},
     ("Deliver 9 shares of 594918104 today from the box, overdue since T+13 of the card; no buy-in"
     " is needed once they are delivered.")),
    ("part in hand", {"inventory": {**STOCK, "box_qty": 3, "recall_outstanding": 1}, "qty": 9},
     ("Deliver 3 shares of 594918104 today from the box, then recall 1 share; 6 shares left to"
     " deliver, by T+13 of the card.")),
    ("close-out", {"inventory": {**STOCK, "recall_outstanding": 9}, "qty": 9, "age_days": 14},
     "Close out: borrow or buy 9 shares of 594918104, overdue since T+13 of the card."),
    ("receives", {"inventory": STOCK, "qty": 9, "ftrs": [ftr(5), ftr(20, "DTC-0352")]},
     "Chase DTC-0352 for 9 shares of 594918104, the oldest receive first, by T+13 of the card."),
    ("mixed", {"inventory": {**STOCK, "recall_outstanding": 4}, "qty": 9, "ftrs": [ftr(5)]},
     ("Source 9 shares of 594918104: chase DTC-0161 for 5 shares, then recall 4 shares, by T+13 of"
     " the card.")),
    ("residual", {"inventory": {**STOCK, "stock_loan_available": 4}, "qty": 9},
     ("Escalate: no source for 5 shares of the 9 shares of 594918104; meanwhile borrow 4 shares, by"
     " T+13 of the card.")),
    ("dispute", {"dk_reason": "unknown trade", "qty": 9},
     ("Send the DK notice to DTC-0005 for 9 shares of 594918104. Nothing moves until the trade is"
     " known.")),
    ("no inventory", {"qty": 1},
     "Locate 1 share of 594918104 and deliver them to DTC-0005, by T+13 of the card."),
    ("parallel", {"inventory": {**STOCK, "recall_outstanding": 9, "stock_loan_available": 9},
                  "qty": 9, "age_days": 11},
     ("Source 9 shares of 594918104: recall 9 shares, then borrow 9 shares at once beside the"
     " recall, by T+13 of the card.")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "text"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_headline_sentence_is_the_row_in_words(changes: dict[str, Any], text: str) -> None:
    """Each row has one sentence with the quantities and names of the plan."""
    given = a_fail(**{"age_days": 2, "reg_sho_threshold": False, **changes})
    given["cns_position"] = -given["qty"]
    assert headline_of(given)[0].text == text


def test_check_of_an_invented_new_cusip_fails() -> None:
    """The `fail` block names a replaced security only where the record does."""
    fail = parse_fail(a_fail()).value
    assert fail is not None
    block = exact_json.decode(exact_json.encode(summarize(fail)))
    assert check_fail_block({"fail": block}, fail) == []
    [found] = check_fail_block({"fail": {**block, "new_cusip": "037833100"}}, fail)
    assert (found.rule, found.path) == ("check.fail", "/fail/new_cusip")


@pytest.mark.parametrize("place", ["quantity", "parties", "sources", "next"])
def test_sentence_with_an_unknown_place_is_refused(place: str) -> None:
    """A desk may change the sentences; a place that its row never fills is an error of the kb."""
    entry = KB.entries["headline.deliver"]
    assert isinstance(entry, Lookup)
    text = f"Deliver {{qty}} to {{{place}}}."
    wrong = msgspec.structs.replace(entry, members={"action": "DELIVER", "text": text})
    with pytest.raises(KnowledgeError, match=rf"headline\.deliver: \{{{place}\}} is given"):
        compile_headline(Compiler({**KB.entries, "headline.deliver": wrong}))


@pytest.mark.parametrize("qty", [0, 7, 999, 1_000, 1_009, 32_000, 999_999, 10**6, 10**9, -5, -5000])
def test_quantity_has_a_comma_before_three_digits(qty: int) -> None:
    """A quantity is written as Python groups its digits, of any size and sign."""
    assert render_quantity(qty) == format(qty, ",")


def test_sentence_writes_percent_signs_and_braces() -> None:
    """The words of a sentence stay as they are: a percent sign, doubled braces, the values."""
    sentence = Template("x", "100 % {{sure}}: {qty} of {qty}, {by}.", ("qty", "by", "tail"))
    assert (
        sentence.fill({"by": "%s", "qty": "{by}", "tail": "-"}) == "100 % {sure}: {by} of {by}, %s."
    )
    assert Template("x", "50 %", ()).fill({}) == "50 %"
    assert Template("x", "{qty}", ("qty",)).fill({"qty": "abc"}) == "abc"


@pytest.mark.parametrize("place", ["{qty:>9}", "{qty!r}", "{qty.real}", "{}", "{qty"])
def test_sentence_place_is_a_name_alone(place: str) -> None:
    """A format in a place would fail for each line, so the error shows the place as it is given."""
    with pytest.raises(KnowledgeError, match=rf"kb entry x: .*{re.escape(place)}"):
        Template("x", f"Deliver {place}.", ("qty",))
