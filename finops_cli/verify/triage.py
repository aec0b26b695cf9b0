"""Judges a triage: against what its record gives, or, without a record, for whether it agrees with itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import get_args

from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.domain.triage import Triage
from finops_cli.domain.vocabulary import Flag
from finops_cli.kb.book import Book
from finops_cli.rules.classification import is_high
from finops_cli.rules.scoring import base_score, escalation_level, floor_tier, priority_score
from finops_cli.verify.judged import compare, differs, same
from finops_cli.verify.reach import OPEN, concentrations, reach

_FIELD_RULES = {
    "category": "triage.category",
    "cns_direction": "triage.direction",
    "lifecycle_state": "triage.lifecycle",
    "priority_score": "score.priority",
    "priority_tier": "tier.band",
    "category_priority_override": "tier.cns_floor",
    "action": "triage.action",
    "escalation_level": "tier.escalation",
    "deadline": "triage.deadline",
    "flags": "triage.flags",
}
_COMPONENT_RULES = {
    "age_factor": "score.age_factor",
    "value_factor": "score.value_factor",
    "regulatory_factor": "score.regulatory_factor",
    "cp_history_factor": "score.cp_history_factor",
    "base_score": "score.base",
    "inventory_modifier": "score.inventory_modifier",
    "concentration_modifier": "score.concentration_modifier",
}


def check_triage(answer: Triage, book: Book, reference: Triage | None = None) -> list[Finding]:
    """What is wrong with `answer`; nothing when it is good.

    `reference` is what the rules give for the record (`rules.triage`). Every field is held against it. Without one, or when all
    fields agree, the answer is held against itself: arithmetic, bands, and what each field implies for the others.
    """
    if reference is not None and answer is not reference:
        found = list(_against(answer, reference, book))
        if found:
            return found
    return [finding for rule in _OWN_RULES for finding in rule(answer, book)]


def _against(answer: Triage, reference: Triage, book: Book) -> Iterator[Finding]:
    tolerance = book.tolerance
    for finding in compare(reference.score_components, answer.score_components, _COMPONENT_RULES, "/score_components", tolerance):
        if finding.rule == "score.base":
            yield differs("score.base", finding.path, finding.expected, finding.actual, _sum_in_words(answer, book))
        else:
            yield finding
    yield from compare(reference, answer, _FIELD_RULES, "", tolerance)


def _sum_in_words(answer: Triage, book: Book) -> str:
    c, weights = answer.score_components, book.scoring.weights
    factors = (c.age_factor, c.value_factor, c.regulatory_factor, c.cp_history_factor)
    terms = " + ".join(f"{plain(factor)} x {weight}" for factor, weight in zip(factors, weights.values(), strict=True))
    return f"its own factors give {terms} = {plain(_stated_base(answer, book))}"


def _stated_base(answer: Triage, book: Book) -> Decimal:
    c = answer.score_components
    return base_score(c.age_factor, c.value_factor, c.regulatory_factor, c.cp_history_factor, book.scoring)


def _factors_are_known(answer: Triage, book: Book) -> Iterator[Finding]:
    c, s = answer.score_components, book.scoring
    known = (
        ("age_factor", c.age_factor, s.age_factor.values),
        ("value_factor", c.value_factor, s.value_factor.values),
        ("regulatory_factor", c.regulatory_factor, tuple(s.regulatory_factor.values())),
        ("cp_history_factor", c.cp_history_factor, s.cp_history_factor.values),
        ("inventory_modifier", c.inventory_modifier, s.inventory_modifier.values),
    )
    for field, value, values in known:
        if value not in values:
            yield differs(_COMPONENT_RULES[field], f"/score_components/{field}", values, value, "one of these")
    possible = concentrations(s, "THRESHOLD_SECURITY" in answer.flags)
    if c.concentration_modifier not in possible and not any(same(value, c.concentration_modifier, book.tolerance) for value in possible):
        stated = "with" if "THRESHOLD_SECURITY" in answer.flags else "without"
        because = f"one of these, {stated} the flag THRESHOLD_SECURITY"
        path = "/score_components/concentration_modifier"
        yield differs("score.concentration_modifier", path, tuple(sorted(possible)), c.concentration_modifier, because)


def _base_adds_up(answer: Triage, book: Book) -> Iterator[Finding]:
    expected, actual = _stated_base(answer, book), answer.score_components.base_score
    if not same(expected, actual, book.tolerance):
        yield differs("score.base", "/score_components/base_score", expected, actual, _sum_in_words(answer, book))


def _score_multiplies_out(answer: Triage, book: Book) -> Iterator[Finding]:
    c = answer.score_components
    expected = priority_score(_stated_base(answer, book), c.inventory_modifier, c.concentration_modifier, book.scoring)
    if not same(expected, answer.priority_score, book.tolerance):
        because = f"base {plain(_stated_base(answer, book))} x {c.inventory_modifier} x {c.concentration_modifier}"
        yield differs("score.priority", "/priority_score", expected, answer.priority_score, because)


def _tier_follows_the_score(answer: Triage, book: Book) -> Iterator[Finding]:
    band = book.scoring.tier.of(answer.priority_score)
    expected = floor_tier(band, answer.category, book.scoring)
    if answer.priority_tier != expected:
        rule = "tier.band" if expected == band else "tier.cns_floor"
        yield differs(rule, "/priority_tier", expected, answer.priority_tier, f"score {answer.priority_score}")
    elif answer.category_priority_override != (expected != band):
        yield differs("tier.cns_floor", "/category_priority_override", expected != band, answer.category_priority_override)
    level = escalation_level(answer.priority_tier, answer.score_components.regulatory_factor, book.scoring)
    if answer.escalation_level != level:
        yield differs("tier.escalation", "/escalation_level", level, answer.escalation_level)


def _category_fits_the_direction(answer: Triage, book: Book) -> Iterator[Finding]:
    if answer.category in ("DK_DISPUTE", "CA_EVENT") or (answer.category == "CNS_FAIL") == (answer.cns_direction != "N_A"):
        return
    expected = ("CNS_FAIL", "CA_EVENT", "DK_DISPUTE") if answer.cns_direction != "N_A" else ("B2B_PENDING", "DVP_FAIL", "CA_EVENT", "DK_DISPUTE")
    yield differs("triage.category", "/category", expected, answer.category, f"one of these for direction {answer.cns_direction}")


def _deadline_fits(answer: Triage, book: Book) -> Iterator[Finding]:
    threshold = "THRESHOLD_SECURITY" in answer.flags
    day = book.triage.deadline_threshold if threshold else book.triage.deadline_standard
    if answer.deadline is None and answer.cns_direction != "FTD":
        return
    if answer.deadline != f"T+{day}":
        because = "threshold security" if threshold else "not a threshold security"
        yield differs("triage.deadline", "/deadline", f"T+{day}", answer.deadline, because)


def _flags_fit(answer: Triage, book: Book) -> Iterator[Finding]:
    ordered = tuple(flag for flag in get_args(Flag) if flag in answer.flags)
    if answer.flags != ordered:
        yield differs("triage.flags", "/flags", ordered, answer.flags, "each once, in this order")
        return
    c, s, t = answer.score_components, book.scoring, book.triage
    close_out = frozenset({True}) if _closes_out(answer, book) else frozenset({False, answer.deadline is not None})
    possible: tuple[tuple[Flag, frozenset[bool]], ...] = (
        ("REG_SHO_CLOSEOUT", close_out),
        ("PROBLEM_CP", reach(s.cp_history_factor, t.problem_cp_over, strict=True).get(c.cp_history_factor, OPEN)),
        ("HIGH_VALUE", reach(s.value_factor, t.high_value_from).get(c.value_factor, OPEN)),
        ("AGED_FAIL", reach(s.age_factor, Decimal(t.aged_from), whole=True).get(c.age_factor, OPEN)),
    )
    wrong = {flag for flag, answers in possible if (flag in answer.flags) not in answers}
    if wrong:
        expected = tuple(flag for flag in get_args(Flag) if (flag in answer.flags) != (flag in wrong))
        yield differs("triage.flags", "/flags", expected, answer.flags, f"its factors decide {', '.join(sorted(wrong))}")


def _closes_out(answer: Triage, book: Book) -> bool:
    return answer.score_components.regulatory_factor == book.scoring.regulatory_factor["CLOSE_OUT"]


def _lifecycle_fits(answer: Triage, book: Book) -> Iterator[Finding]:
    expected: tuple[str, ...]
    if _closes_out(answer, book) and answer.deadline is not None:
        expected = ("BUYIN",)
    else:
        expected = ("ESCALATED",) if is_high(answer.priority_tier) else ("OPEN",)
    if answer.cns_direction != "N_A":
        expected += ("OFFSET",)
    if answer.lifecycle_state not in expected:
        wanted = expected[0] if len(expected) == 1 else expected
        yield differs("triage.lifecycle", "/lifecycle_state", wanted, answer.lifecycle_state)


def _action_fits(answer: Triage, book: Book) -> Iterator[Finding]:
    expected = _actions(answer, book)
    if answer.action not in expected:
        yield differs("triage.action", "/action", expected[0] if len(expected) == 1 else expected, answer.action)


def _actions(answer: Triage, book: Book) -> tuple[str, ...]:
    if answer.lifecycle_state == "OFFSET":
        return ("NO_ACTION",)
    if answer.category == "DK_DISPUTE":
        return ("SEND_DK_NOTICE",)
    if answer.lifecycle_state == "BUYIN":
        return ("INITIATE_BUYIN",)
    if answer.category == "CA_EVENT":
        return ("ESCALATE",)
    if answer.category == "CNS_FAIL":
        return ("LOCATE_AND_DELIVER",) if answer.cns_direction == "FTD" else _receipt_actions(answer, book)
    if answer.category == "B2B_PENDING":
        return ("ESCALATE",) if is_high(answer.priority_tier) else ("MONITOR_PENDING_RECEIPT",)
    modifier = answer.score_components.inventory_modifier
    covered = reach(book.scoring.inventory_modifier, book.triage.dvp_deliver_from).get(modifier, OPEN)
    sells = answer.deadline is not None
    return tuple("LOCATE_AND_DELIVER" if sells and full else "CONTACT_COUNTERPARTY" for full in sorted(covered, reverse=True))


def _receipt_actions(answer: Triage, book: Book) -> tuple[str, ...]:
    factor = answer.score_components.age_factor
    bought_in = reach(book.scoring.age_factor, Decimal(book.triage.ftr_monitor_to), strict=True, whole=True).get(factor, OPEN)
    return tuple("INITIATE_BUYIN" if older else "MONITOR_PENDING_RECEIPT" for older in sorted(bought_in))


_OWN_RULES: tuple[Callable[[Triage, Book], Iterator[Finding]], ...] = (
    _factors_are_known,
    _base_adds_up,
    _score_multiplies_out,
    _tier_follows_the_score,
    _category_fits_the_direction,
    _deadline_fits,
    _flags_fit,
    _lifecycle_fits,
    _action_fits,
)
