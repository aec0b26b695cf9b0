"""Numbers in free text: each must follow from the input and the rules, and the rules engine's own
texts are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain import exact_json, limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_case_line, parse_fail_line
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLVER_INPUT
from finops_cli.verify.free_text import check_prose, check_reason
from tests.support.oracle.random_fails import random_case
from tests.support.program import EXAMPLES
from tests.support.records import a_fail, jsonl

SEED, FAILS, CASES = 20260301, 1_000, 500


@pytest.fixture(scope="module")
def triages(kb: KnowledgeBase) -> list[tuple[FailRecord, Triage]]:
    records = [next(fails(i, SEED, kb, "market" if i % 2 else "coverage")) for i in range(FAILS)]
    return [(record, triage(record, kb)) for record in records]


@pytest.fixture(scope="module")
def plans(kb: KnowledgeBase) -> list[tuple[ResolverInput, Resolution]]:
    drawn = [next(cases(i, SEED, kb)) for i in range(CASES)]
    rng = Random(SEED)
    for number in range(CASES):
        case = RESOLVER_INPUT.read(
            exact_json.decode(exact_json.encode(random_case(rng, f"C-{number}")))
        )
        assert case is not None
        drawn.append(case)
    return [(case, resolve(case, kb)) for case in drawn]


def without_texts(plan: Resolution) -> Resolution:
    """`plan` as a reference that bears nothing out by its own words."""
    steps = tuple(replace(step, rationale="x") for step in plan.resolution_steps)
    return replace(plan, resolution_steps=steps, narrative="x", escalation_reason="")


@pytest.mark.slow
def test_texts_of_the_engine_have_no_findings(
    triages: list[tuple[FailRecord, Triage]],
    plans: list[tuple[ResolverInput, Resolution]],
    kb: KnowledgeBase,
) -> None:
    """Every number that the rules engine writes into a text follows from the input and
    the rules.
    """
    for fail, answer in triages:
        assert not list(check_reason(answer, replace(answer, reason="x"), fail, kb)), answer.reason
    for case, plan in plans:
        assert not list(check_prose(plan, without_texts(plan), case, kb)), plan


@pytest.mark.parametrize(
    "file", sorted(path.name for path in EXAMPLES.glob("*.jsonl") if "expected" not in path.name)
)
def test_texts_for_the_examples_have_no_findings(file: str, kb: KnowledgeBase) -> None:
    """The rules engine's texts for the files in examples/ have no findings."""
    taken = [
        fail
        for line in (EXAMPLES / file).read_bytes().splitlines()
        if (fail := parse_fail_line(line).value) is not None
    ]
    assert taken
    for fail in taken:
        answer = triage(fail, kb)
        assert not list(check_reason(answer, replace(answer, reason="x"), fail, kb))
        case = handoff(fail, answer, kb)
        if not isinstance(case, NotApplicable):
            plan = resolve(case, kb)
            assert not list(check_prose(plan, without_texts(plan), case, kb))


def change_digit(text: str, rng: Random) -> str:
    at = rng.choice([found.start() for found in re.finditer(r"\d", text)])
    return (
        f"{text[:at]}{rng.choice([digit for digit in '0123456789' if digit != text[at]])}"
        f"{text[at + 1 :]}"
    )


def add_number(text: str, rng: Random) -> str:
    words = text.split(" ")
    claims = (
        f"aged {rng.randint(0, 120)} days",
        f"score {rng.randint(0, 1000) / 10}",
        f"of {rng.randint(1, 99) * 500:,} shares",
    )
    words.insert(rng.randint(1, len(words)), rng.choice(claims))
    return " ".join(words)


@pytest.mark.slow
@pytest.mark.parametrize(("corrupt", "least"), [(change_digit, 0.90), (add_number, 0.93)])
def test_reason_with_a_wrong_number_is_usually_found(
    corrupt: Callable[[str, Random], str],
    least: float,
    triages: list[tuple[FailRecord, Triage]],
    kb: KnowledgeBase,
) -> None:
    """At least 90 % of the reasons with a changed digit and 93 % of those with an added number get
    a finding. The rest happen to be true of another value.
    """
    rng = Random(SEED)
    wrong = [
        (fail, answer, replace(answer, reason=corrupt(answer.reason, rng)))
        for fail, answer in triages
    ]
    seen = sum(
        bool(list(check_reason(changed, answer, fail, kb))) for fail, answer, changed in wrong
    )
    assert seen >= least * len(wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("corrupt", "least"), [(change_digit, 0.75), (add_number, 0.93)])
def test_rationale_with_a_wrong_number_is_usually_found(
    corrupt: Callable[[str, Random], str],
    least: float,
    plans: list[tuple[ResolverInput, Resolution]],
    kb: KnowledgeBase,
) -> None:
    """Most wrong rationales get a finding. It names the wrong rationale, gives the expected text
    and names no other text.
    """
    rng, seen, wrong = Random(SEED), 0, 0
    for case, plan in plans:
        spots = [
            i for i, step in enumerate(plan.resolution_steps) if re.search(r"\d", step.rationale)
        ]
        if not spots:
            continue
        i, steps = rng.choice(spots), list(plan.resolution_steps)
        steps[i] = replace(steps[i], rationale=corrupt(steps[i].rationale, rng))
        found = list(check_prose(replace(plan, resolution_steps=tuple(steps)), plan, case, kb))
        expected = (
            f"/resolution_steps/{i}/rationale",
            plan.resolution_steps[i].rationale,
            steps[i].rationale,
        )
        assert {(finding.path, finding.expected, finding.actual) for finding in found} <= {expected}
        seen, wrong = seen + len(found), wrong + 1
    assert wrong > CASES
    assert seen >= least * wrong


def triage_card_1(kb: KnowledgeBase, **changes: object) -> tuple[FailRecord, Triage]:
    parsed = parse_fail_line(jsonl(a_fail(**changes)).strip())
    fail = parsed.value
    assert fail is not None, parsed.problems
    return fail, triage(fail, kb)


@pytest.mark.parametrize(
    ("reason", "numbers"),
    [
        ("Score 88.2, aged 99 days", "88.2, 99 days"),
        ("5,000 shares in 594918104 with DTC-0005, aged 7 days: 1 day past T+6, score 83", None),
        ("$2.1M; 60 x 0.30 = 18 and 70 x 0.25 = 17.5 make 69.5 x 1.20 = 83.4 of at most 100", None),
        ("Rule 204, 15-day fail rate 4%, coverage only 10%: escalate to L3", None),
        (
            (
                "Age in the 7-9 day band, coverage below 25%, value from $1M to $5M, rate 3-5%,"
                " score over 75"
            ),
            None,
        ),
        ("Coverage below 50%, rate over 2%", "50%, 2%"),
        ("The counterparty promises 3,000 shares, ref 45123", "3,000 shares, 45123"),
    ],
)
def test_reason_with_unsupported_numbers_is_a_finding(
    reason: str, numbers: str | None, kb: KnowledgeBase
) -> None:
    """A reason may use numbers of the record, points, products and days left. A number that only
    the notes contain is a finding.
    """
    fail, reference = triage_card_1(kb, notes="3,000 shares promised, ref 45123")
    found = list(check_reason(replace(reference, reason=reason), reference, fail, kb))
    assert [
        (finding.rule, finding.path, finding.expected, finding.actual) for finding in found
    ] == ([("triage.reason_figures", "/reason", reference.reason, reason)] if numbers else [])
    assert numbers is None or f"mentions {numbers}," in found[0].message


@pytest.mark.parametrize(
    ("reason", "numbers"),
    [
        ("F-1001 is aged 7 days, worth $13.4M, coverage 25%, rate 4%", None),
        ("CUSIP 594918104 with DTC-0005, 15-day rolling rate 4%, aged 7 days", None),
        ("1,001 shares owed", "1,001 shares"),
        ("F-1001 shares owed", "1001 shares"),
        ("Market value $595M", "$595M"),
        ("Worth $0.6B, $594.9 million", "$0.6B, $594.9 million"),
        ("Worth $0, $0M", "$0, $0M"),
        ("No exposure: 0 shares, 0 days, coverage 0%", "0 shares, 0 days, 0%"),
        ("A 15-day old fail", "15-day"),
        ("Age: 8. Value high", "8"),
    ],
)
def test_reason_numbers_are_not_rounded_to_zero_or_names(
    reason: str, numbers: str | None, kb: KnowledgeBase
) -> None:
    """A number that is rounded to zero is a finding, and a digit string inside a name does not
    support a quantity.
    """
    fail, reference = triage_card_1(
        kb, fail_id="F-1001", market_value=13_400_000, inventory_coverage_pct=25
    )
    found = list(check_reason(replace(reference, reason=reason), reference, fail, kb))
    assert [finding.message.partition(", which")[0] for finding in found] == (
        [f"reason mentions {numbers}"] if numbers else []
    )


def test_reason_may_quote_a_zero_of_the_record(kb: KnowledgeBase) -> None:
    """A reason may mention zero days, dollars, shares or percent when the record holds
    that zero.
    """
    fail, reference = triage_card_1(
        kb,
        age_days=0,
        market_value=0,
        inventory_coverage_pct=0,
        cns_position=0,
        cp_fail_rate_pct=0,
    )
    changed = "0 days, worth $0, coverage 0%, position 0 shares, rate 0 percent"
    assert list(check_reason(replace(reference, reason=changed), reference, fail, kb)) == []


def test_reason_may_quote_products_and_days_left(kb: KnowledgeBase) -> None:
    """A reason may mention the score before and after the concentration modifier and the days that
    remain. A number beside them is a finding.
    """
    fail, reference = triage_card_1(kb, age_days=1, inventory_coverage_pct=30, cp_fail_rate_pct=2)
    assert reference.priority_score == Decimal("55.6")

    def blamed(reason: str) -> bool:
        return bool(list(check_reason(replace(reference, reason=reason), reference, fail, kb)))

    assert not blamed("46.35 before concentration, 55.62 after, 5 days left")
    assert blamed("46.36 before concentration")
    assert blamed("55.63 after")
    assert blamed("4 days left")


def test_rationale_quotes_only_named_counterparties(kb: KnowledgeBase) -> None:
    """A rationale may quote the age of its own counterparty, or of another one that it names."""
    [line] = islice((EXAMPLES / "back-to-back.jsonl").read_bytes().splitlines(), 1)
    fail = parse_fail_line(line).value
    assert fail is not None
    case = handoff(fail, triage(fail, kb), kb)
    assert not isinstance(case, NotApplicable)
    plan = resolve(case, kb)

    def blamed(rationale: str) -> list[str]:
        steps = (replace(plan.resolution_steps[0], rationale=rationale), *plan.resolution_steps[1:])
        return [
            finding.path
            for finding in check_prose(replace(plan, resolution_steps=steps), plan, case, kb)
        ]

    assert plan.resolution_steps[0].dtc != "DTC-0901"
    assert blamed("Aged 9d, 11,000 shares") == []
    assert blamed("Aged 8d, 11,000 shares") == ["/resolution_steps/0/rationale"]
    assert blamed("Aged 9d, before DTC-0901 with 8d") == []


def read_card_2(kb: KnowledgeBase) -> tuple[ResolverInput, dict[str, Any]]:
    """The published case of card 2 and the published answer to it."""
    card_input, resolution = exact_json.decode(
        (EXAMPLES / "cards/published.jsonl").read_bytes().splitlines()[3]
    ).values()
    parsed = parse_case_line(exact_json.encode(card_input), kb)
    case = parsed.value
    assert case is not None, parsed.problems
    return case, resolution


def test_texts_of_card_2_have_no_findings(kb: KnowledgeBase) -> None:
    """The rationale, narrative and escalation reason that card 2 prints have no findings. Wrong
    numbers in the narrative and reason do.
    """
    case, resolution = read_card_2(kb)
    plan = resolve(case, kb)
    steps = (
        replace(plan.resolution_steps[0], rationale=resolution["resolution_steps"][0]["rationale"]),
        *plan.resolution_steps[1:],
    )
    as_published = replace(
        plan,
        resolution_steps=steps,
        **{key: resolution[key] for key in ("narrative", "escalation_reason")},
    )
    assert list(check_prose(as_published, plan, case, kb)) == []
    wrong = replace(
        as_published,
        narrative="Chase DTC-0161 for 12,500 shs",
        escalation_reason="Residual 4400 shs",
    )
    assert [finding.path for finding in check_prose(wrong, plan, case, kb)] == [
        "/narrative",
        "/escalation_reason",
    ]


def test_narrative_with_false_zero_shares_is_a_finding(kb: KnowledgeBase) -> None:
    """A narrative may mention 0 shares only where the plan or the inventory holds a 0 with that
    meaning.
    """
    case, _ = read_card_2(kb)
    plan = resolve(case, kb)
    none_left = "Escalate the residual 0 shares"
    for narrative in (
        none_left,
        "Box 8,000; 0 shares remain",
        "$0 at risk",
        "Residual: 0",
        "Borrow 0 shares",
    ):
        assert list(check_prose(replace(plan, narrative=narrative), plan, case, kb)), narrative
    stocked = replace(case, inventory=replace(case.inventory, pending_receives=0))
    reference = resolve(stocked, kb)
    assert not list(
        check_prose(replace(reference, narrative="0 shares pending"), reference, stocked, kb)
    )
    assert list(check_prose(replace(reference, narrative=none_left), reference, stocked, kb))
    covered = replace(case, inventory=replace(case.inventory, box_qty=32_000))
    reference = resolve(covered, kb)
    assert not list(
        check_prose(
            replace(reference, narrative="Residual 0 shares, 0 shares remain"),
            reference,
            covered,
            kb,
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["9" * limits.TEXT_CHARS, "1,111" * 13_000, "a1" * 32_000, " 9.5M" * 13_000, "\n 1. " * 10_000],
)
def test_huge_text_gives_a_short_message(text: str, kb: KnowledgeBase) -> None:
    """The message of a finding stays short for a text of any length, with numbers of any length."""
    fail, reference = triage_card_1(kb)
    for finding in check_reason(replace(reference, reason=text), reference, fail, kb):
        assert len(finding.message) < limits.PROBLEMS * (limits.SHOWN_CHARS + 2) + 80
