"""Records with their answers, and sentences about them: right ones in free forms, wrong ones."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from string import Formatter
from typing import NamedTuple, get_args

from msgspec.structs import replace

from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain import exact_json
from finops_cli.domain.enums import Category, EscalationLevel, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLVER_INPUT
from finops_cli.verify.free_text import check_prose, check_reason
from finops_cli.verify.sentences.check import check_plan_sentences, check_triage_sentence
from tests.support.oracle.random_fails import random_case
from tests.support.program import EXAMPLES

_HERE = Path(__file__).parent
_ACTIONS = {
    "LOCATE_AND_DELIVER": "locate and deliver the shares",
    "SEND_DK_NOTICE": "send the DK notice",
    "MONITOR_PENDING_RECEIPT": "keep watching the receipt",
    "ESCALATE": "escalate it",
    "CONTACT_COUNTERPARTY": "call the counterparty",
    "INITIATE_BUYIN": "start the buy-in",
    "NO_ACTION": "nothing to do",
}
_OTHER_ACTIONS = {**_ACTIONS, "NO_ACTION": "do nothing"}
_KINDS = {
    "CNS_FAIL": "CNS fail",
    "DVP_FAIL": "DVP fail",
    "B2B_PENDING": "back-to-back fail",
    "CA_EVENT": "corporate action fail",
    "DK_DISPUTE": "disputed trade",
}
_WORDS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
]


class Stage1(NamedTuple):
    """A record and the right triage of it."""

    fail: FailRecord
    answer: Triage

    def find_own(self, kb: KnowledgeBase) -> list[Finding]:
        """Check the engine's own sentence without the engine's sentence at hand."""
        blank = replace(self.answer, reason="x")
        return list(check_triage_sentence(self.answer, blank, self.fail, kb))

    def find(self, reason: str, kb: KnowledgeBase) -> list[Finding]:
        """Check a triage that is right but for its `reason`."""
        said = replace(self.answer, reason=reason)
        return [
            *check_reason(said, self.answer, self.fail, kb),
            *check_triage_sentence(said, self.answer, self.fail, kb),
        ]


class Stage2(NamedTuple):
    """A case and the right plan for it."""

    case: ResolverInput
    plan: Resolution

    def find_own(self, kb: KnowledgeBase) -> list[Finding]:
        """Check the engine's own sentences without the engine's sentences at hand."""
        steps = tuple(replace(step, rationale="x") for step in self.plan.resolution_steps)
        blank = replace(self.plan, resolution_steps=steps, narrative="x", escalation_reason="")
        return list(check_plan_sentences(self.plan, blank, self.case, kb))

    @property
    def sentences(self) -> int:
        """Return the number of sentences of the plan."""
        return len(self.plan.resolution_steps) + 1 + bool(self.plan.escalation_reason)

    def find(self, field: str, text: str, kb: KnowledgeBase) -> list[Finding]:
        """Check a plan that is right but for one text; `rationale` is that of the first step."""
        if field == "rationale":
            first, *rest = self.plan.resolution_steps
            said = replace(self.plan, resolution_steps=(replace(first, rationale=text), *rest))
        else:
            said = replace(self.plan, **{field: text})
        return [
            *check_prose(said, self.plan, self.case, kb),
            *check_plan_sentences(said, self.plan, self.case, kb),
        ]


def read_forms(file: str) -> dict[tuple[str, str], str]:
    """Read a table of forms: the text by field and name."""
    table = tomllib.loads((_HERE / file).read_text(encoding="utf-8"))
    return {(field, name): text for field, forms in table.items() for name, text in forms.items()}


def read_groups(file: str, group: str) -> dict[str, list[str]]:
    """Read the sentences of a group by their field."""
    table = tomllib.loads((_HERE / file).read_text(encoding="utf-8"))
    return {field: list(texts) for field, texts in table[group].items()}


def read_records(file: str, group: str) -> dict[str, dict[str, list[str]]]:
    """Read the sentences of a group by record and field."""
    table = tomllib.loads((_HERE / file).read_text(encoding="utf-8"))
    return {record: dict(fields) for record, fields in table[group].items()}


def half_of(form: tuple[str, str]) -> int:
    """Return 0 for the forms that the check was developed on, 1 for those that measure it.

    It is the last bit of the SHA-256 digest of FIELD.NAME.
    """
    return sha256(".".join(form).encode()).digest()[-1] % 2


def first_of_monday(kb: KnowledgeBase) -> tuple[Stage1, Stage2]:
    """Return the first fail of examples/monday.jsonl with its answers."""
    with (EXAMPLES / "monday.jsonl").open("rb") as lines:
        fail = parse_fail_line(lines.readline()).value
    assert fail is not None
    answer = triage(fail, kb)
    case = handoff(fail, answer, kb)
    assert not isinstance(case, NotApplicable)
    return Stage1(fail, answer), Stage2(case, resolve(case, kb))


def read_examples(kb: KnowledgeBase) -> dict[str, tuple[Stage1, Stage2 | None]]:
    """Return the records of three examples with their answers, by `fail_id`."""
    found: dict[str, tuple[Stage1, Stage2 | None]] = {}
    for name in ("monday", "corporate-action", "gridlock"):
        for line in (EXAMPLES / f"{name}.jsonl").read_bytes().splitlines():
            fail = parse_fail_line(line).value
            assert fail is not None
            answer = triage(fail, kb)
            case = handoff(fail, answer, kb)
            plan = None if isinstance(case, NotApplicable) else Stage2(case, resolve(case, kb))
            found[str(fail.fail_id)] = Stage1(fail, answer), plan
    return found


def plan_random_case(rng: Random, kb: KnowledgeBase) -> Stage2:
    """Plan a case of the oracle, which has no likeness to the generated ones."""
    case = RESOLVER_INPUT.read(exact_json.decode(exact_json.encode(random_case(rng, "C-1"))))
    assert case is not None
    return Stage2(case, resolve(case, kb))


def draw_stage1(seed: int, kb: KnowledgeBase) -> Iterator[Stage1]:
    """Yield generated records, of all combinations and of the market in turn, without end."""
    number = 0
    while True:
        fail = next(fails(number, seed, kb, "market" if number % 2 else "coverage"))
        yield Stage1(fail, triage(fail, kb))
        number += 1


def draw_stage2(seed: int, kb: KnowledgeBase) -> Iterator[Stage2]:
    """Yield generated cases without end."""
    number = 0
    while True:
        case = next(cases(number, seed, kb))
        yield Stage2(case, resolve(case, kb))
        number += 1


def places_of_triage(given: Stage1) -> dict[str, str]:
    """Return the values that a form of a reason may name."""
    fail, answer = given
    parts = answer.score_components
    level = answer.escalation_level
    is_calm = level == "NONE" and answer.action != "ESCALATE"
    is_threshold = "THRESHOLD_SECURITY" in answer.flags
    places = {
        "tier": answer.priority_tier,
        "score": plain(answer.priority_score),
        "age": str(fail.age_days),
        "qty": f"{fail.qty:,}",
        "value": f"${fail.market_value:,}",
        "rate": plain(fail.cp_fail_rate_pct),
        "coverage": plain(fail.inventory_coverage_pct),
        "base": plain(parts.base_score),
        "inventory_modifier": plain(parts.inventory_modifier),
        "concentration_modifier": plain(parts.concentration_modifier),
        "cp": fail.counterparty,
        "cusip": fail.cusip,
        "action": _ACTIONS[answer.action],
        "threshold": "it is a threshold security" if is_threshold else "not a threshold security",
    }
    if is_calm or level != "NONE":
        places["escalation"] = "needs no escalation" if is_calm else f"goes to {level}"
    if answer.deadline is not None:
        places["deadline"] = answer.deadline
    if 2 <= fail.age_days < len(_WORDS):
        places["age_words"] = _WORDS[fail.age_days]
    return places


def places_of_plan(given: Stage2) -> dict[str, str]:
    """Return the values that a form of a narrative may name; absent ones have no place."""
    case, plan = given
    places = {"owed": f"{case.ftd_qty:,}", "total": f"{plan.total_coverable:,}"}
    first = plan.resolution_steps[0] if plan.resolution_steps else None
    if first is not None and first.action == "CHASE_FTR" and not plan.gridlock_detected:
        places["chase_dtc"] = str(first.dtc)
        places["chase_number"] = str(first.dtc)[4:]
        places["chase_qty"] = f"{first.qty:,}"
    for step in plan.resolution_steps:
        if step.action == "APPLY_BOX":
            places["box"] = f"{step.qty:,}"
    for strategy, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        if strategy != "NONE":
            places["recall" if strategy == "INITIATE_RECALL" else "borrow"] = f"{qty:,}"
    if plan.residual_short:
        places["residual"] = f"{plan.residual_short:,}"
    else:
        places["covered"] = f"{case.ftd_qty:,}"
    return places


def fill(form: str, places: dict[str, str]) -> str | None:
    """Fill the places of a form; None if one of them is absent."""
    names = [name for _, name, _, _ in Formatter().parse(form) if name]
    return form.format(**places) if all(name in places for name in names) else None


def contradict_triage(given: Stage1, rng: Random) -> str:
    """Write a reason that is wrong in one value."""
    fail, answer = given
    places = places_of_triage(given)

    def other(values: tuple[str, ...], but: str) -> str:
        return rng.choice([value for value in values if value != but])

    tier = other(get_args(Tier), answer.priority_tier)
    level = other(get_args(EscalationLevel)[1:], answer.escalation_level)
    kind = _KINDS[other(get_args(Category), answer.category)]
    action = _OTHER_ACTIONS[other(tuple(_ACTIONS), answer.action)]
    if answer.escalation_level != "NONE" and action == "escalate it":
        action = "do nothing" if answer.action != "NO_ACTION" else "start the buy-in"
    is_threshold = "THRESHOLD_SECURITY" in answer.flags
    age = fail.age_days + rng.choice((1, 2, 5))
    forms: tuple[str, ...] = (
        f"This is {tier}.",
        f"Score {places['score']}, tier {tier}.",
        f"{places['tier']} fail, escalate to {level}.",
        f"{kind} with a score of {places['score']}.",
        f"{places['tier']}: {action}.",
        f"{places['tier']}, {'not ' if is_threshold else ''}a threshold security.",
        f"{places['tier']} after {age} days.",
        f"{places['tier']}, {age} days old.",
        f"{places['tier']} fail of {fail.qty + 100:,} shares.",
        f"{places['tier']} with a base score of {plain(answer.score_components.base_score + 1)}.",
        f"{places['tier']}, deadline T+{rng.choice((2, 3, 4, 20))}.",
        f"{places['tier']} fail against DTC-{(int(fail.counterparty[4:]) + 1) % 10000:04}.",
        (
            "No escalation required."
            if answer.escalation_level != "NONE" or answer.action == "ESCALATE"
            else "Needs escalation."
        ),
    )
    return rng.choice(forms)


def contradict_plan(given: Stage2, rng: Random) -> str:
    """Write a narrative that is wrong in one value."""
    case, plan = given
    places = places_of_plan(given)
    forms: list[Callable[[], str]] = [
        lambda: "Do nothing.",
        lambda: f"Escalate the residual {plan.residual_short + 100:,} shares.",
        lambda: f"{plan.total_coverable + 100:,} shares are sourced in total.",
        lambda: (
            "The plan covers the fail in full."
            if plan.residual_short
            else "The fail is not fully covered."
        ),
        lambda: (
            "There is no gridlock." if plan.gridlock_detected else "The parties are in gridlock."
        ),
        lambda: f"Of {case.ftd_qty + 100:,} shares owed, {plan.total_coverable:,} are covered.",
        lambda: (
            "No escalation required."
            if plan.escalation_required
            else "Escalation is required, shares have no source."
        ),
    ]
    if "chase_dtc" in places:
        other = f"DTC-{(int(places['chase_number']) + 1) % 10000:04}"
        qty = int(places["chase_qty"].replace(",", ""))
        forms += [
            lambda: f"Chase {other} for {qty:,} shares.",
            lambda: f"Chase {places['chase_dtc']} for {qty + 1:,} shares.",
            lambda: f"Do not chase {places['chase_dtc']}.",
            lambda: f"Recall {qty:,} shares from {places['chase_dtc']}.",
        ]
    if "recall" in places and "borrow" in places and places["recall"] != places["borrow"]:
        forms.append(lambda: f"Recall {places['borrow']} and borrow {places['recall']} shares.")
    if "box" in places:
        qty_box = int(places["box"].replace(",", ""))
        forms.append(lambda: f"Apply {qty_box + 10:,} shares from the box.")
    if "recall" not in places:
        forms.append(lambda: "Recall 1,000 shares.")
    if "borrow" not in places:
        forms.append(lambda: "Borrow 1,000 shares.")
    return rng.choice(forms)()
