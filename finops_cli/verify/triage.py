"""Check a triage against its record, or without a record for internal consistency.

Without the record, a factor that is not shown may have any value of its table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import combinations
from typing import get_args

from msgspec.structs import replace

from finops_cli.domain.enums import Flag
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.classification import is_high
from finops_cli.rules.scoring import escalation_level, floor_tier, priority_score
from finops_cli.verify.comparison import compare, equal_within, mismatch
from finops_cli.verify.implied_bounds import NO, OPEN, YES, implied_bounds
from finops_cli.verify.possible_scores import (
    known_values,
    make_exact,
    possible_bases,
    possible_concentrations,
)

_FLAGS: tuple[Flag, ...] = get_args(Flag)
_IN_ORDER = frozenset(
    flags for count in range(len(_FLAGS) + 1) for flags in combinations(_FLAGS, count)
)
_ANY_DIRECTION = ("CA_EVENT", "DK_DISPUTE")
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
    "base_score": "score.base",
    "inventory_modifier": "score.inventory_modifier",
    "concentration_modifier": "score.concentration_modifier",
}


def check_triage(
    answer: Triage, kb: KnowledgeBase, reference: Triage | None = None
) -> list[Finding]:
    """Return the findings about `answer`; empty if it is correct.

    `reference` is the triage that the rules give for the record. Every field is compared with it.
    Without a reference, or if all fields agree, the answer is checked for consistency: arithmetic,
    bands, and what each field implies for the others.
    """
    if reference is not None and answer is not reference:
        found = list(_against(answer, reference, kb))
        if found:
            return found
        answer = reference  # equal within the tolerance, but for the reason
    return list(_own_findings(replace(answer, reason="") if answer.reason else answer, kb))


@lru_cache(maxsize=4096)
def _own_findings(answer: Triage, kb: KnowledgeBase) -> tuple[Finding, ...]:
    """Check an answer for consistency.

    The result is cached without the reason, because many records are equal but for it.
    """
    found: list[Finding] = []
    exact = make_exact(answer, kb)
    for rule in _OWN_RULES:
        rule(exact, kb, found)
    return tuple(found)


def _against(answer: Triage, reference: Triage, kb: KnowledgeBase) -> Iterator[Finding]:
    tolerance = kb.tolerance
    for finding in compare(
        reference.score_components,
        answer.score_components,
        _component_rules(kb.scoring),
        "/score_components",
        tolerance,
    ):
        if finding.rule == "score.base":
            because = _explain_base(answer, kb.scoring)
            yield mismatch(
                "score.base", finding.path, finding.expected, finding.actual, because=because
            )
        else:
            yield finding
    yield from compare(reference, answer, _FIELD_RULES, "", tolerance)


@lru_cache(maxsize=4096)
def _component_rules(rules: ScoringRules) -> Mapping[str, str]:
    """Return the rule of each field of `score_components`, in the order of the fields."""
    by_field = {field: factor.row.kb_id for field, factor in rules.factors_by_field}
    by_field |= _COMPONENT_RULES
    return {field: by_field[field] for field in rules.components.__struct_fields__}


def _explain_base(answer: Triage, rules: ScoringRules) -> str:
    """Show the weighted sum of the factors in the answer, with the possible values of hidden
    factors.
    """
    c = answer.score_components
    terms = [
        f"{plain(getattr(c, field))} x {factor.weight}" for field, factor in rules.factors_by_field
    ]
    terms += [
        f"{factor.row.word} (not shown: {' or '.join(map(plain, factor.table.values))})"
        f" x {factor.weight}"
        for factor in rules.hidden_factors
    ]
    sums = " or ".join(plain(base) for base in possible_bases(answer, rules))
    return f"its own factors give {' + '.join(terms)} = {sums}"


def _factors_are_known(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    c = answer.score_components
    for field, values in known_values(kb.scoring).items():
        value = getattr(c, field)
        if value not in values:
            rule, path = _component_rules(kb.scoring)[field], f"/score_components/{field}"
            found.append(mismatch(rule, path, values, value, because="one of these"))


def _concentration_is_possible(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    c = answer.score_components
    possible = possible_concentrations(answer, kb)
    stated = c.concentration_modifier
    if stated in possible:
        return
    with_flag = "with" if "THRESHOLD_SECURITY" in answer.flags else "without"
    because = (
        f"one of these, {with_flag} the flag THRESHOLD_SECURITY and"
        f" with cp_history_factor {c.cp_history_factor}"
    )
    path = "/score_components/concentration_modifier"
    found.append(
        mismatch(
            "score.concentration_modifier", path, tuple(sorted(possible)), stated, because=because
        )
    )


def _score_adds_up(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    c, rules = answer.score_components, kb.scoring
    bases = possible_bases(answer, rules)
    modifiers = c.inventory_modifier, c.concentration_modifier
    if c.base_score in bases and (
        priority_score(c.base_score, *modifiers, rules) == answer.priority_score
    ):
        return  # the rest allows for the tolerance, and says what is wrong
    stated = [base for base in bases if equal_within(base, c.base_score, kb.tolerance)]
    if not stated:
        path, because = "/score_components/base_score", _explain_base(answer, rules)
        found.append(
            mismatch("score.base", path, _one_or_all(bases), c.base_score, because=because)
        )
    expected = tuple(priority_score(base, *modifiers, rules) for base in stated or bases)
    given = answer.priority_score
    if not any(equal_within(score, given, kb.tolerance) for score in expected):
        base = " or ".join(plain(base) for base in stated or bases)
        because = f"base {base} x {c.inventory_modifier} x {c.concentration_modifier}"
        found.append(
            mismatch(
                "score.priority", "/priority_score", _one_or_all(expected), given, because=because
            )
        )


def _one_or_all(values: tuple[Decimal, ...]) -> Decimal | tuple[Decimal, ...]:
    return values[0] if len(values) == 1 else values


def _tier_follows_the_score(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    band = kb.scoring.tier.of(answer.priority_score)
    expected = floor_tier(band, answer.category, kb.scoring)
    if answer.priority_tier != expected:
        rule = "tier.band" if expected == band else "tier.cns_floor"
        found.append(
            mismatch(
                rule,
                "/priority_tier",
                expected,
                answer.priority_tier,
                because=f"score {answer.priority_score}",
            )
        )
    elif answer.category_priority_override != (raised := expected != band):
        found.append(
            mismatch(
                "tier.cns_floor",
                "/category_priority_override",
                raised,
                answer.category_priority_override,
            )
        )
    level = escalation_level(
        answer.priority_tier, answer.score_components.regulatory_factor, kb.scoring
    )
    if answer.escalation_level != level:
        found.append(
            mismatch("tier.escalation", "/escalation_level", level, answer.escalation_level)
        )


def _category_fits_the_direction(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    in_cns = answer.cns_direction != "N_A"
    if answer.category in _ANY_DIRECTION or (answer.category == "CNS_FAIL") == in_cns:
        return
    expected = (
        ("CNS_FAIL", *_ANY_DIRECTION) if in_cns else ("B2B_PENDING", "DVP_FAIL", *_ANY_DIRECTION)
    )
    because = f"one of these for direction {answer.cns_direction}"
    found.append(
        mismatch("triage.category", "/category", expected, answer.category, because=because)
    )


def _deadline_fits(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    threshold = "THRESHOLD_SECURITY" in answer.flags
    day = kb.triage.deadline_threshold if threshold else kb.triage.deadline_standard
    if answer.deadline is None and answer.cns_direction != "FTD":
        return
    if answer.deadline != f"T+{day}":
        because = "threshold security" if threshold else "not a threshold security"
        found.append(
            mismatch("triage.deadline", "/deadline", f"T+{day}", answer.deadline, because=because)
        )


def _flags_fit(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    flags = answer.flags
    if flags not in _IN_ORDER:
        ordered = tuple(flag for flag in _FLAGS if flag in flags)
        found.append(
            mismatch("triage.flags", "/flags", ordered, flags, because="each once, in this order")
        )
        return
    c, bounds = answer.score_components, implied_bounds(kb)
    close_out = YES if _closes_out(answer, kb) else NO
    if close_out is NO and answer.deadline is not None:
        close_out = bounds.past_deadline["THRESHOLD_SECURITY" in flags].get(c.age_factor, OPEN)
    possible = {
        "REG_SHO_CLOSEOUT": close_out,
        "PROBLEM_CP": bounds.problem_cp.get(c.cp_history_factor, OPEN),
        "HIGH_VALUE": bounds.high_value.get(c.value_factor, OPEN),
        "AGED_FAIL": bounds.aged.get(c.age_factor, OPEN),
    }
    wrong = [flag for flag, answers in possible.items() if (flag in flags) not in answers]
    if wrong:
        expected = tuple(flag for flag in _FLAGS if (flag in flags) != (flag in wrong))
        found.append(
            mismatch(
                "triage.flags",
                "/flags",
                expected,
                flags,
                because=f"its factors decide {', '.join(wrong)}",
            )
        )


def _closes_out(answer: Triage, kb: KnowledgeBase) -> bool:
    return answer.score_components.regulatory_factor == kb.scoring.regulatory_factor["CLOSE_OUT"]


def _lifecycle_fits(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    expected: tuple[str, ...]
    if _closes_out(answer, kb) and answer.deadline is not None:
        expected = ("BUYIN",)
    else:
        expected = ("ESCALATED",) if is_high(answer.priority_tier) else ("OPEN",)
    if answer.cns_direction != "N_A":
        expected += ("OFFSET",)
    if answer.lifecycle_state not in expected:
        wanted = expected[0] if len(expected) == 1 else expected
        found.append(
            mismatch("triage.lifecycle", "/lifecycle_state", wanted, answer.lifecycle_state)
        )


def _action_fits(answer: Triage, kb: KnowledgeBase, found: list[Finding]) -> None:
    expected = _actions(answer, kb)
    if answer.action not in expected:
        found.append(
            mismatch(
                "triage.action",
                "/action",
                expected[0] if len(expected) == 1 else expected,
                answer.action,
            )
        )


def _actions(answer: Triage, kb: KnowledgeBase) -> tuple[str, ...]:
    if answer.lifecycle_state == "OFFSET":
        return ("NO_ACTION",)
    if answer.category == "DK_DISPUTE":
        return ("SEND_DK_NOTICE",)
    if answer.lifecycle_state == "BUYIN":
        return ("INITIATE_BUYIN",)
    if answer.category == "CA_EVENT":
        return ("ESCALATE",)
    if answer.category == "CNS_FAIL":
        return (
            ("LOCATE_AND_DELIVER",)
            if answer.cns_direction == "FTD"
            else _receipt_actions(answer, kb)
        )
    if answer.category == "B2B_PENDING":
        return ("ESCALATE",) if is_high(answer.priority_tier) else ("MONITOR_PENDING_RECEIPT",)
    covered = implied_bounds(kb).covered.get(answer.score_components.inventory_modifier, OPEN)
    sells = answer.deadline is not None
    return tuple(
        "LOCATE_AND_DELIVER" if sells and full else "CONTACT_COUNTERPARTY"
        for full in sorted(covered, reverse=True)
    )


def _receipt_actions(answer: Triage, kb: KnowledgeBase) -> tuple[str, ...]:
    bought_in = implied_bounds(kb).bought_in.get(answer.score_components.age_factor, OPEN)
    return tuple(
        "INITIATE_BUYIN" if older else "MONITOR_PENDING_RECEIPT" for older in sorted(bought_in)
    )


_OWN_RULES: tuple[Callable[[Triage, KnowledgeBase, list[Finding]], None], ...] = (
    _factors_are_known,
    _concentration_is_possible,
    _score_adds_up,
    _tier_follows_the_score,
    _category_fits_the_direction,
    _deadline_fits,
    _flags_fit,
    _lifecycle_fits,
    _action_fits,
)
