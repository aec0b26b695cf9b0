"""The resolver's reasoning follows from input and plan, and its checker finds false statements."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from finops_cli.datasets.reasoning.check import check_reasoning
from finops_cli.datasets.reasoning.render import HEADINGS, render_reasoning
from finops_cli.domain import exact_json
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import resolver_prompt
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLVER_INPUT
from tests.rules.test_oracle import INPUT_OF_CARD_2
from tests.support.oracle import plan_oracle
from tests.support.oracle.random_fails import random_case
from tests.support.program import GOLDEN

CASES, MUTATIONS, BUDGET_CASES, SEED = 1_000, 2_000, 500, 20260103
BUDGET_TOKENS = 5_120
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Sample(NamedTuple):
    """A case as its generator made it and as the types read it, with plan and trace."""

    raw: dict[str, Any]
    case: ResolverInput
    plan: Resolution
    text: str


def make_sample(raw: dict[str, Any], kb: KnowledgeBase) -> Sample:
    case = RESOLVER_INPUT.read(exact_json.decode(exact_json.encode(raw)))
    assert case is not None
    plan = resolve(case, kb)
    return Sample(raw, case, plan, render_reasoning(case, plan, kb))


def rules_broken(text: str, sample: Sample, kb: KnowledgeBase) -> set[str]:
    return {finding.rule for finding in check_reasoning(text, sample.case, sample.plan, kb)}


@pytest.fixture(scope="module")
def samples(kb: KnowledgeBase) -> list[Sample]:
    rng = Random(SEED)
    return [make_sample(random_case(rng, f"T-{n}"), kb) for n in range(CASES)]


@pytest.fixture(scope="module")
def card(kb: KnowledgeBase) -> Sample:
    """Card 2's example: 12,000 to receive, 8,000 in the box, of 32,000."""
    return make_sample(INPUT_OF_CARD_2, kb)


def ftr(place: int, **changes: Any) -> dict[str, Any]:
    row = {
        "dtc": f"DTC-{100 + 7 * place % 60:04d}",
        "qty": 900 + 350 * (place * 5 % 7),
        "age_days": 2 + place * 3 % 4,
        "settlement_type": ("RVP", "DVP", "FOP")[place % 3],
        "settlement_date": f"T+{place % 4}",
        "cp_fail_rate_pct": Decimal("2.1"),
        "partial_delivery_history": place % 5 == 0,
    }
    return row | changes


def jammed_ftr(place: int) -> dict[str, Any]:
    return ftr(
        place,
        qty=8000 + 300 * place,
        age_days=6,
        chase_attempts=3,
        partial_delivery_history=False,
        settlement_date="T+2",
    )


@pytest.mark.slow
def test_reasoning_of_every_case_has_no_findings(samples: list[Sample], kb: KnowledgeBase) -> None:
    """The reasoning of each random case is complete and correct."""
    found = [
        (sample.case.fail_id, check_reasoning(sample.text, sample.case, sample.plan, kb))
        for sample in samples
    ]
    assert [one for one in found if one[1]][:3] == []


def test_random_cases_reach_every_branch_of_the_reasoning(samples: list[Sample]) -> None:
    """The random cases are varied enough: each branch of each section occurs."""
    texts = "\n".join(sample.text for sample in samples)
    branches = (
        "\n0 FTRs", "18 more", "\nrest: ", "\ncash: ", "option A", "option B", "option C",
        "depot: no deadline", "depot: 5<3 No",
        "; PARTIAL_DELIVER", "partial today: no deadline", "parallel: min", "sequential: min",
        "days: no deadline; seq",
        "recall 0>0 No", "borrow 0>0 No", "S1 FTRs 0>0 No", ">=3 No", "; No\nno gridlock",
        "full gridlock: NET", "brokers of the FTRs",
        "partial gridlock: bottleneck", "buy-in notice from age 5: DTC", "the rest",
        "buy-in notice from age 5: none", "=-2 days left",
        " points: age", "; no deadline", "NONE 0; NONE 0", "; ESCALATE",
        "the counterparty must agree", "netting at T+0, or by T+1",
        "coverage 0/", "=100.00%", "accept partials of: none", "flags none", "max(0,-",
    )  # fmt: skip
    assert [branch for branch in branches if branch not in texts] == []


def test_reasoning_states_the_input_and_the_oracle_plan(samples: list[Sample]) -> None:
    """The ranking, the steps and the fields in the reasoning equal those of the oracle."""
    for raw, _, _, text in samples:
        sections = dict(
            zip(
                HEADINGS,
                re.split(r"(?:^|\n)\d+ (?:{})\n".format("|".join(HEADINGS)), text)[1:],
                strict=True,
            )
        )
        ranked = plan_oracle.ranked(raw["ftrs"])[:10]
        steps = re.findall(
            r"^(\d+) (DTC-\d+) (\d+)d (\d+) (\w+) (T\+\d+)$", sections["FTR ranking"], re.MULTILINE
        )
        fields = ("dtc", "age_days", "qty", "settlement_type", "settlement_date")
        assert steps == [
            (str(n), *(str(row[field]) for field in fields)) for n, row in enumerate(ranked, 1)
        ]
        held = raw["inventory"]
        assert (
            f"recall {held['recall_outstanding']}; borrow {held['stock_loan_available']}\npending"
            f" {held['pending_receives']} not" in text
        )
        plan, walk = plan_oracle.resolution(raw), sections["Chase walk-through"]
        covering = [step for step in plan["resolution_steps"] if step["qty"]]
        assert re.findall(r"-\d+=(\d+)", walk) == [
            str(step["remaining_short"]) for step in covering
        ]
        shares = [
            f"{Decimal(step['coverage_after_step_pct'].numerator) / step['coverage_after_step_pct'].denominator:.2f}"  # noqa: E501
            for step in covering
        ]
        assert re.findall(r"=([\d.]+)%", walk) == shares
        assert [int(n) for n in re.findall(r"=(\d+)", sections["Escalation"])][1:2] == [
            plan["total_coverable"]
        ]
        final = (
            f"total {plan['total_coverable']}; residual {plan['residual_short']};"
            f" {plan['residual_action']}; "
        )
        assert sections["Conclusion"].startswith(final)
        expected = [
            f"{plan[f'{rank}_strategy' if rank == 'fallback' else rank]} {plan[f'{rank}_qty']}"
            for rank in ("fallback", "secondary_fallback")
        ]
        assert sections["Fallback"].splitlines()[-1] == "; ".join(expected)


@pytest.mark.parametrize("name", ["simple", "gridlock", "28-ftrs"])
def test_reasoning_text_equals_the_golden_file(name: str, kb: KnowledgeBase) -> None:
    """The reasoning equals `tests/support/golden/`, because models were trained on these words."""
    rows = {
        "simple": [ftr(0, qty=7000), ftr(1, qty=5000), ftr(2, qty=3000)],
        "gridlock": [jammed_ftr(place) for place in range(4)],
        "28-ftrs": [ftr(place) for place in range(28)],
    }[name]
    sample = make_sample(
        INPUT_OF_CARD_2
        | {
            "ftrs": rows,
            "ftd_qty": 65000 if name == "28-ftrs" else 32000,
            "age_days": 8,
        },
        kb,
    )
    golden = GOLDEN / f"trace-{name}.txt"
    assert sample.text + "\n" == golden.read_text()


def test_reasoning_of_a_depot_without_transit_time_is_valid(kb: KnowledgeBase) -> None:
    """A depot without a transit time is stated as such and moves nothing."""
    sample = make_sample(
        INPUT_OF_CARD_2 | {"inventory": INPUT_OF_CARD_2["inventory"] | {"depot_qty": 900}}, kb
    )
    assert "\ndepot 900; no transit time\n" in sample.text
    assert "\ndepot: no transit time\n" in sample.text
    assert rules_broken(sample.text, sample, kb) == set()


WRONG_PLANS = {
    "total_coverable": 31_000,
    "fallback_qty": 4_000,
    "residual_short": 0,
    "resolution_steps": (),
}


@pytest.mark.parametrize("field", WRONG_PLANS)
def test_reasoning_of_wrong_plan_is_a_finding(field: str, card: Sample, kb: KnowledgeBase) -> None:
    """The reasoning for a wrong plan has findings, because it does not follow from the input."""
    plan = replace(card.plan, **{field: WRONG_PLANS[field]})
    assert check_reasoning(render_reasoning(card.case, plan, kb), card.case, plan, kb)
    assert check_reasoning(card.text, card.case, plan, kb)


def change_one_number(text: str, rng: Random) -> str | None:
    """Return `text` with one digit or number changed, or with one of its other numbers."""
    numbers = list(NUMBER.finditer(text))
    at = rng.choice(numbers)
    place = rng.choice([i for i, sign in enumerate(at[0]) if sign != "."])
    digit = rng.choice([sign for sign in "0123456789" if sign != at[0][place]])
    other = rng.choice(
        (
            at[0][:place] + digit + at[0][place + 1 :],
            str(Decimal(at[0]) + 1),
            rng.choice(numbers)[0],
        )
    )
    return None if other == at[0] else text[: at.start()] + other + text[at.end() :]


@pytest.mark.slow
def test_reasoning_check_finds_changed_numbers(samples: list[Sample], kb: KnowledgeBase) -> None:
    """The checker finds more than 99 of 100 single changes of a number."""
    rng, escaped, tried = Random(SEED), [], 0
    while tried < MUTATIONS:
        sample = rng.choice(samples)
        text = change_one_number(sample.text, rng)
        if text is not None:
            tried += 1
            if not check_reasoning(text, sample.case, sample.plan, kb):
                escaped.append(text)
    assert len(escaped) < MUTATIONS / 100, escaped[:1]


def make_28_ftrs(rng: Random, owed: int) -> list[dict[str, Any]]:
    """Make 28 fails to receive of 10 to 28 brokers, mostly two to five days old."""
    brokers = [f"DTC-{number:04d}" for number in rng.sample(range(1, 2000), rng.randint(10, 28))]
    share = owed * rng.choice((1, 2, 2, 4)) // 56
    return [
        ftr(place, dtc=brokers[place % len(brokers)], qty=max(1, share * rng.randint(30,
        180) // 10_000 * 100),
            age_days=min(10, max(2, round(rng.gauss(3, 1)))),
            settlement_date=f"T+{rng.choice((0, 1, 1, 2))}")
        for place in range(28)
    ]  # fmt: skip


@pytest.mark.slow
def test_reasoning_of_28_receipts_fits_5_120_tokens(kb: KnowledgeBase) -> None:
    """Prompt, reasoning and plan of a case with 28 receipts fit the 5,120 tokens of card 2."""
    rng = Random(SEED)
    for n in range(BUDGET_CASES):
        owed = rng.choice((5_000, 12_000, 32_000, 75_000, 150_000, 300_000))
        sample = make_sample(
            random_case(rng, f"B-{n}") | {"ftd_qty": owed, "ftrs": make_28_ftrs(rng, owed)}, kb
        )
        plan = exact_json.encode(sample.plan).decode()
        parts = (resolver_prompt(sample.case).text, f"<think>\n{sample.text}\n</think>\n\n", plan)
        assert sum(estimated_tokens(part) for part in parts) <= BUDGET_TOKENS


OWN_WORDS = {
    "32000 - 12000 = 20000; 0 + 12000 = 12000; 12000/32000 = 37.50%": set(),
    "12000/32000 = 37.5%, and 37.50% is known now": set(),
    "the chase leaves 20000 of 32000 open, DTC-0161 settles T+1": set(),
    "min(12000, 32000) = 12000 and max(8000,5000)=8000": set(),
    "12000 + 8000 = 20000 + 5000 = 25000": set(),
    "5000 <= 3000: No": set(),
    "32000 - 12000 = 21000": {"trace.arithmetic", "trace.number"},
    "12000/32000 = 37.49%": {"trace.arithmetic"},
    "12000/0 = 0%": {"trace.arithmetic"},
    "min(12000, 8000) = 12000": {"trace.arithmetic"},
    "5000 <= 3000": {"trace.arithmetic"},
    "about 17500 shares": {"trace.number"},
    "99999 - 1 = 99998 and 99998 + 1 = 99999": {"trace.number"},
    "12000 + 777 = 12777": {"trace.number"},
    "call DTC-0162": {"trace.number"},
    "settles T+4": {"trace.number"},
}  # fmt: skip


@pytest.mark.parametrize("line", OWN_WORDS)
def test_reasoning_in_other_words_must_be_true(line: str, card: Sample, kb: KnowledgeBase) -> None:
    """A line in other words is accepted if its statements are true and its numbers known."""
    text = card.text.replace("\n5 Partials", f"\n{line}\n5 Partials")
    broken = rules_broken(text, card, kb)
    assert broken <= OWN_WORDS[line]
    assert bool(broken) == bool(OWN_WORDS[line])


def test_reasoning_sections_are_complete_and_ordered(card: Sample, kb: KnowledgeBase) -> None:
    """Each section must be present once, in order and with content."""
    lines = card.text.splitlines()
    starts = [lines.index(f"{n} {heading}") for n, heading in enumerate(HEADINGS, 1)] + [len(lines)]
    parts = [lines[start:end] for start, end in pairwise(starts)]
    for spoilt in (
        parts[1:],
        parts[:-1],
        [*parts, parts[3]],
        [parts[1], parts[0], *parts[2:]],
        [parts[0][:1], *parts[1:]],
        [],
    ):
        assert "trace.sections" in rules_broken(
            "\n".join(line for part in spoilt for line in part), card, kb
        )
    assert "trace.sections" in rules_broken(card.text.replace("7 Reg SHO", "6 Reg SHO"), card, kb)
    named = "\n".join(
        (
            f"## {line} (as the card has it)"
            if line in (lines[start] for start in starts[:-1])
            else line
        )
        for line in lines
    )
    assert rules_broken(named, card, kb) == set()


def test_reasoning_with_a_repeated_line_is_a_finding(card: Sample, kb: KnowledgeBase) -> None:
    """Any repeated line of the reasoning is a finding."""
    for line in card.text.splitlines():
        assert rules_broken(card.text.replace(line, f"{line}\n{line}"), card, kb)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "9" * 9_000,
        f"total {'9' * 9_000}%",
        "10 Conclusion\ntotal 1e9 1/0=5%",
        "min(" + "7777777," * 9_000,
        "1" * 40 + " Problem",
    ],
)
def test_reasoning_check_survives_hostile_text(text: str, card: Sample, kb: KnowledgeBase) -> None:
    """A hostile text gives findings and no exception."""
    assert check_reasoning(text, card.case, card.plan, kb)
    assert check_reasoning(f"{card.text}\n{text}", card.case, card.plan, kb)


WRONG_ENDS = [
    ("total 28000", "total 32000"), ("residual 4000", "residual 0"), ("87.50%", "100.00%"),
    ("4000; ESCALATE; no", "4000; NONE; no"),
    ("\nno gridlock", "\nfull gridlock: NET_GRIDLOCK with DTC-0161"),
    ("SOURCE_BORROW 3000", "SOURCE_BORROW 5000"),
    ("INITIATE_RECALL 5000; SOURCE_BORROW 3000", "SOURCE_BORROW 3000"),
    ("4<=3 No; sequential", "4<=3 No; parallel"),
    ("sequential: min", "parallel: min"), ("ESCALATE; no gridlock", "ESCALATE; partial gridlock"),
    ("residual 4000; ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong"), WRONG_ENDS)
def test_reasoning_with_a_wrong_conclusion_is_a_finding(
    right: str, wrong: str, card: Sample, kb: KnowledgeBase
) -> None:
    """A conclusion that differs from the plan violates `trace.conclusion`."""
    assert card.text.count(right) == 1
    assert "trace.conclusion" in rules_broken(card.text.replace(right, wrong), card, kb)


def test_reasoning_without_a_gridlock_party_is_a_finding(kb: KnowledgeBase) -> None:
    """A gridlock statement that omits one of its parties violates `trace.conclusion`."""
    sample = make_sample(
        INPUT_OF_CARD_2 | {"ftrs": [jammed_ftr(n) for n in range(4)], "age_days": 8}, kb
    )
    assert sample.plan.gridlock_parties
    for party in sample.plan.gridlock_parties:
        verdict = re.sub(rf" {party}\b", "", sample.text.split("\n9 ")[0].rsplit("\n", 1)[1])
        text = re.sub(r"\nfull gridlock: .*", f"\n{verdict}", sample.text)
        assert "trace.conclusion" in rules_broken(text, sample, kb)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("12000", 5), (" 12000", 6), ("32000-12000=20000", 17), ('"qty":12000,', 8),
    ('"dtc":"DTC-0161"', 10),
     ("settlement", 3), ("_settlement_date", 4), ("CRITICAL", 2), ("RVP", 2), ("T+13", 4),
     ("\n\n", 1), ("a  b", 3), ("é", 2)],
)  # fmt: skip
def test_estimated_tokens_count_digits_words_and_signs(text: str, tokens: int) -> None:
    """Digits count one by one, words by length, signs in pairs, other characters by byte."""
    assert estimated_tokens(text) == tokens
