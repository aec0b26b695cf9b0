"""Facts that a record may leave out: derived from others, or assumed on the unfavourable side."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.clock.facts import AsOf
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json
from finops_cli.domain.fail import Inventory
from finops_cli.importers.stream import admit
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.inputs import InputPolicy, names_in
from finops_cli.pipeline.parse import parse_fail, parse_fail_line
from finops_cli.rules.derivation import coverage_pct
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

KB = load_kb(bundled_kb_dir())
BOX = {
    "box_qty": 1250,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 0,
}
FTR = {"dtc": "DTC-0161", "qty": 1200, "age_days": 3, "cp_fail_rate_pct": 1}
DATES = {"settlement_date": "2026-11-16"}
TOO_LATE = {"settlement_date": "2026-11-30", "as_of": "2026-11-27"}
THANKSGIVING = {"settlement_date": "2026-11-26", "as_of": "2026-11-27"}
FRIDAY = AsOf(moment=parse_moment("2026-11-27"), source="option")


def without(*names: str, **changes: Any) -> dict[str, Any]:
    """Return the record of card 1 without fields, and with changes."""
    return {name: value for name, value in a_fail(**changes).items() if name not in names}


def problems_of(record: dict[str, Any], policy: InputPolicy | None = None) -> list[tuple[str, str]]:
    """Return the rule and the path of each problem."""
    return [(each.rule, each.path) for each in parse_fail(record, policy).problems]


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [
        (without("cns_direction", cns_position=-5000), "cns_direction", "FTD"),
        (without("cns_direction", cns_position=1, side="Buy"), "cns_direction", "FTR"),
        (without("cns_direction", cns_position=0), "cns_direction", "N_A"),
        (without("cns_direction", cns_position=None), "cns_direction", "N_A"),
        (without("cns_direction", "cns_position"), "cns_direction", "N_A"),
        (without("cns_direction", "side", cns_position=-1), "side", "Sell"),
        (without("side", cns_direction="FTD"), "side", "Sell"),
        (without("side", cns_direction="FTR"), "side", "Buy"),
        (without("inventory_coverage_pct", inventory=BOX), "inventory_coverage_pct", Decimal(25)),
    ],
)
def test_absent_fact_is_derived_and_named(record: dict[str, Any], field: str, value: Any) -> None:
    """An absent fact follows from the others, and `origin.derived` names it."""
    fail = parse_fail(record).value
    assert fail is not None
    assert getattr(fail, field) == value
    assert field in names_in(fail.origin, "derived")


@pytest.mark.parametrize(
    ("facts", "policy", "age"),
    [
        ({**DATES, "as_of": "2026-11-27"}, InputPolicy(KB), 8),
        ({**DATES, "as_of": "2026-11-20"}, InputPolicy(KB, FRIDAY), 8),
        (DATES, InputPolicy(KB, FRIDAY), 8),
        ({"settlement_date": "2026-11-27"}, InputPolicy(KB, FRIDAY), 0),
        ({"trade_date": "2026-11-13"}, InputPolicy(KB, FRIDAY), 8),
    ],
)
def test_absent_age_is_counted_with_the_calendar(
    facts: dict[str, str], policy: InputPolicy, age: int
) -> None:
    """The age is the settlement days to the moment, without Thanksgiving; `--as-of` comes first."""
    fail = parse_fail(without("age_days", clock_facts=facts), policy).value
    assert fail is not None
    assert fail.age_days == age
    assert names_in(fail.origin, "derived") == ("age_days",)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (without("side", cns_direction="N_A"), ("schema.required", "/side")),
        (without("side", "cns_direction", "cns_position"), ("schema.required", "/side")),
        (without("age_days"), ("schema.required", "/age_days")),
        (without("age_days", clock_facts=DATES), ("input.dates", "/clock_facts/as_of")),
        (
            without("age_days", clock_facts=TOO_LATE),
            ("input.dates", "/clock_facts/settlement_date"),
        ),
        (
            without("age_days", clock_facts=THANKSGIVING),
            ("clock.strictest", "/clock_facts/settlement_date"),
        ),
        (without("qty"), ("schema.required", "/qty")),
        (without("counterparty"), ("schema.required", "/counterparty")),
        (without("market_value"), ("schema.required", "/market_value")),
        (without("reg_sho_threshold"), ("schema.required", "/reg_sho_threshold")),
        (without(side=None), ("schema.enum", "/side")),
        (without("cns_direction", cns_position="x"), ("schema.type", "/cns_position")),
        (
            without("inventory_coverage_pct", inventory={}),
            ("schema.required", "/inventory/box_qty"),
        ),
    ],
)
def test_fact_that_nothing_gives_is_an_error(
    record: dict[str, Any], problem: tuple[str, str]
) -> None:
    """A missing fact without a source is rejected with its cure; a null is not an absent fact."""
    assert problem in problems_of(record)


def test_absent_fact_names_its_cure() -> None:
    """The message of a missing fact says each way to give it."""
    [problem] = parse_fail(without("age_days")).problems
    assert problem.message == (
        "age_days is missing; accepted: settlement days, or clock_facts.settlement_date and the"
        " moment, which give them"
    )


def test_absent_rate_is_assumed_in_the_worst_band() -> None:
    """Without a counterparty rate the one of `input.assumed.cp_fail_rate_pct` counts, which is in
    the worst band of the score.
    """
    fail = parse_fail(without("cp_fail_rate_pct", origin={"source": "x", "assumed": ["qty"]})).value
    assert fail is not None
    bands = KB.scoring.cp_history_factor
    assert bands.index(fail.cp_fail_rate_pct) == len(bands.values) - 1
    assert fail.origin == {"source": "x", "assumed": ["qty", "cp_fail_rate_pct"]}


def test_absent_coverage_is_assumed_where_no_box_gives_it() -> None:
    """A record without any stock is scored as if the box were empty."""
    fail = parse_fail(without("inventory_coverage_pct")).value
    assert fail is not None
    bands = KB.scoring.inventory_modifier
    assert bands.of(fail.inventory_coverage_pct) == max(bands.values)
    assert fail.origin == {"assumed": ["inventory_coverage_pct"]}
    assert fail.inventory is None


def test_absent_sources_of_an_inventory_are_assumed_empty() -> None:
    """An inventory with a box alone has no other shares; each field is named."""
    record = a_fail(inventory={"box_qty": 500, "recall_outstanding": 7})
    fail = parse_fail(record).value
    assert fail is not None
    assert fail.inventory == Inventory(
        box_qty=500, recall_outstanding=7, stock_loan_available=0, pending_receives=0
    )
    assert names_in(fail.origin, "assumed") == (
        "inventory.stock_loan_available",
        "inventory.pending_receives",
    )


def test_absent_facts_of_receives_are_assumed_once() -> None:
    """A fail to receive without them gets the unfavourable facts; each name is listed once."""
    full = {
        **FTR,
        "settlement_type": "RVP",
        "settlement_date": "T+2",
        "partial_delivery_history": True,
    }
    fail = parse_fail(a_fail(ftrs=[FTR, full, FTR], inventory=BOX, inventory_coverage_pct=25)).value
    assert fail is not None
    first, second, _ = fail.ftrs
    assert (first.settlement_type, first.settlement_date) == ("DVP", "T+1")
    assert first.partial_delivery_history is False
    assert (second.settlement_type, second.partial_delivery_history) == ("RVP", True)
    assert names_in(fail.origin, "assumed") == (
        "ftrs.partial_delivery_history",
        "ftrs.settlement_date",
        "ftrs.settlement_type",
    )


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_coverage_is_half_up_to_one_decimal(box: int, qty: int) -> None:
    """The coverage is the exact quotient in percent, rounded half-up to one decimal."""
    exact = Fraction(100 * box, qty)
    found = Fraction(coverage_pct(box, qty))
    assert (found * 10).denominator == 1
    if found < 10**9:
        assert found - Fraction(1, 20) <= exact < found + Fraction(1, 20)


def test_complete_record_is_not_changed() -> None:
    """A record that gives every fact has no lists in its origin."""
    fail = parse_fail_line(jsonl(a_fail()).strip()).value
    assert fail is not None
    assert fail.origin is None


@pytest.mark.parametrize("command", ["run", "triage"])
def test_line_and_summary_name_what_was_filled_in(command: str, finops: Finops) -> None:
    """The output line has `origin` with the lists and the moment, and the summary counts them."""
    record = without("age_days", "cp_fail_rate_pct", "side", clock_facts=DATES)
    moment = ("--as-of", "2026-11-27")
    done = finops(command, "-", "--backend", "engine", *moment, stdin=jsonl(record))
    [line] = rows(done.stdout)
    assert ("clock" in line) == (command == "run")
    assert line["origin"] == {
        "derived": ["side", "age_days"],
        "assumed": ["cp_fail_rate_pct"],
        "as_of": "2026-11-27T00:00",
    }
    assert "PROBLEM_CP" in line["triage"]["flags"]
    assert b"derived      age_days 1  side 1" in done.stderr
    assert b"assumed      cp_fail_rate_pct 1" in done.stderr


def test_importer_record_is_completed_but_for_the_moment() -> None:
    """`admit` fills in what a record leaves out; an age that only lacks the moment waits for the
    run.
    """
    given = without("side", "age_days", "cp_fail_rate_pct", clock_facts=DATES)
    line = admit(given, "x.csv", 2)
    assert isinstance(line, bytes)
    record = exact_json.decode(line)
    assert "age_days" not in record
    assert record["side"] == "Sell"
    assert record["origin"] == {"derived": ["side"], "assumed": ["cp_fail_rate_pct"]}
    later = parse_fail_line(line, InputPolicy(KB, FRIDAY)).value
    assert later is not None
    assert later.age_days == 8
    assert names_in(later.origin, "derived") == ("side", "age_days")
