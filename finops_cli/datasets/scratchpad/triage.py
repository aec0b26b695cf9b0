"""Write the scratchpad of a tiny triage model: the score by look-ups and sums in small steps.

A transformer of a few layers looks up and adds single digits well. It does not multiply, and it
learns a large table slowly. So the product of the score (kb: `score.priority`) is split: each digit
of the base, in tenths, is multiplied by the joint modifier. That needs a table of ten digits and
thirty modifiers, used three times for each answer. The sum is written with units first, so every
digit follows from two digits and a carry at constant distances before it.

    qty 9387 of 9,387 shares
        plain, then as the answer writes it
    CNS_FAIL FTD position -9387 stands
        `offset` if CNS has netted the obligation, else `stands`
    age 8 60 value $963K 6 50 regulatory none FTD Sell Yes THRESHOLD 80 counterparty 0.28% 10
        the fields of the record, each with its factor; a value also with its digits
    inventory 24.99% 100 threshold Yes 120 eligible Yes 100 volume 13.61% 115 counterparty 100
    concentration 13800
        (one line) the fields of the modifiers, each with its modifier in its last decimals
    joint 1380000
        the product of both modifiers; all lines below follow from the lines above
    0180+0125=0305+0280=0585+0010=0595
        points, and the base, in tenths
    00000960 00002421 00000960
        5, 9 and 5 times the joint modifier, units first
    0002418000 0000112800
        the first times ten plus the second; that sum times ten plus the third
    82.1 CRITICAL CRITICAL ESCALATED
        the score, its tier before and after the CNS floor, and the state of the fail
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate

from finops_cli.domain.enums import RegShoStatus
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import plain, render_usd
from finops_cli.domain.triage import Triage
from finops_cli.kb.factors import Factor
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.classification import is_offset
from finops_cli.rules.deadlines import regulatory_state

_POINTS, _PART, _PRODUCT = 4, 8, 10
"""Number of digits of a base in tenths, of a digit times a joint modifier in millionths, and of
their sum.
"""
_JOINT_DECIMALS, _CONCENTRATION_DECIMALS, _INVENTORY_DECIMALS, _BASE_DECIMALS = 6, 4, 2, 1


def render_triage_scratchpad(record: FailRecord, answer: Triage, kb: KnowledgeBase) -> str:
    """Write the steps from `record` to the score and state of `answer`, without <think> tags."""
    shares = f"qty {record.qty} of {record.qty:,} shares"
    return "\n".join(
        (shares, render_record_lines(record, answer, kb), render_score_lines(record, answer, kb))
    )


def render_record_lines(record: FailRecord, answer: Triage, kb: KnowledgeBase) -> str:
    """Write the three lines that are copied from the record."""
    c, volume = answer.score_components, record.security_fail_rate_pct_adv
    failing = record.cp_fail_rate_pct > kb.scoring.cp_rate_over_pct
    heavy = volume is not None and volume > kb.scoring.security_rate_over_pct_adv
    position = "none" if record.cns_position is None else f"{record.cns_position}"
    netted = "offset" if is_offset(record) else "stands"
    state = regulatory_state(record, kb.triage)
    factors = (
        f"{factor.row.word} {_render_reading(factor.row, record, state)}"
        f" {factor.value_of(record, state)}"
        for factor in kb.scoring.factors
    )
    inventory = _scale(c.inventory_modifier, _INVENTORY_DECIMALS)
    modifiers = (
        f"inventory {plain(record.inventory_coverage_pct)}% {inventory:03d}",
        (
            f"threshold {_yes(record.reg_sho_threshold)}"
            f" {_modifier_hundredths(record.reg_sho_threshold, 'THRESHOLD', kb)}"
        ),
        (
            f"eligible {_yes(record.cns_eligible)}"
            f" {_modifier_hundredths(not record.cns_eligible, 'NOT_CNS_ELIGIBLE', kb)}"
        ),
        (
            f"volume {'none' if volume is None else f'{plain(volume)}%'}"
            f" {_modifier_hundredths(heavy, 'SECURITY_FAIL_RATE', kb)}"
        ),
        f"counterparty {_modifier_hundredths(failing, 'CP_FAIL_RATE', kb)}",
        f"concentration {_scale(c.concentration_modifier, _CONCENTRATION_DECIMALS):05d}",
    )
    obligation = f"{answer.category} {record.cns_direction} position {position} {netted}"
    return f"{obligation}\n{' '.join(factors)}\n{' '.join(modifiers)}"


def _render_reading(factor: Factor, record: FailRecord, state: RegShoStatus) -> str:
    """Write the fields of the record that decide a factor."""
    render = _READINGS.get(factor.name)
    return f"{factor.read(record, state)}" if render is None else render(record, state)


def _render_value(record: FailRecord, _: RegShoStatus) -> str:
    return f"{render_usd(record.market_value)} {len(f'{int(record.market_value)}')}"


def _render_state(record: FailRecord, state: RegShoStatus) -> str:
    """Write the regulatory state after the fields that decide it. The age is written elsewhere."""
    given = record.reg_sho_status or "none"
    threshold = _yes(record.reg_sho_threshold)
    return f"{given} {record.cns_direction} {record.side} {threshold} {state}"


def _render_cp_rate(record: FailRecord, _: RegShoStatus) -> str:
    return f"{plain(record.cp_fail_rate_pct)}%"


_READINGS = {"value": _render_value, "regulatory": _render_state, "cp_history": _render_cp_rate}
"""The factors that are written as more than the number or word that is looked up."""


def _yes(fact: bool) -> str:
    return "Yes" if fact else "No"


def _modifier_hundredths(applies: bool, name: str, kb: KnowledgeBase) -> str:
    """Write a concentration modifier in hundredths, or 100 if it does not apply."""
    modifier = kb.scoring.concentration[name] if applies else Decimal(1)
    return f"{_scale(modifier, _INVENTORY_DECIMALS):03d}"


def render_score_lines(record: FailRecord, answer: Triage, kb: KnowledgeBase) -> str:
    """Write the lines that follow from the lines of the record."""
    c, state = answer.score_components, regulatory_state(record, kb.triage)
    points = [
        _scale(factor.value_of(record, state) * factor.weight, _BASE_DECIMALS)
        for factor in kb.scoring.factors
    ]
    joint = _scale(c.inventory_modifier * c.concentration_modifier, _JOINT_DECIMALS)
    product, score = _multiply(sum(points), joint, kb)
    end = f"{score} {kb.scoring.tier.of(score)} {answer.priority_tier} {answer.lifecycle_state}"
    return "\n".join(
        (f"joint {joint:0{_JOINT_DECIMALS + 1}d}", _running_sums(points), product, end)
    )


def _running_sums(points: list[int]) -> str:
    sums = list(accumulate(points))
    lines = [f"{sums[0]:0{_POINTS}d}"]
    lines += [
        f"+{point:0{_POINTS}d}={total:0{_POINTS}d}"
        for point, total in zip(points[1:], sums[1:], strict=True)
    ]
    return "".join(lines)


def _multiply(base: int, joint: int, kb: KnowledgeBase) -> tuple[str, Decimal]:
    """Write out base times joint modifier. Return the lines and the score."""
    tens, digit = divmod(base // 10, 10)
    parts = [joint * part for part in (tens, digit, base % 10)]
    sums = list(accumulate(parts, lambda so_far, part: so_far * 10 + part))[1:]
    exact = Decimal(sums[-1]).scaleb(-_JOINT_DECIMALS - _BASE_DECIMALS)
    score = min(kb.scoring.cap, exact).quantize(
        Decimal(1).scaleb(-kb.scoring.decimals), ROUND_HALF_UP
    )
    lines = [
        " ".join(f"{number:0{width}d}"[::-1] for number in row)
        for row, width in ((parts, _PART), (sums, _PRODUCT))
    ]
    return "\n".join(lines), score


def _scale(number: Decimal, decimals: int) -> int:
    """Convert `number` to units of its last decimal.

    Raises ValueError if it has more than `decimals` decimals.
    """
    scaled = number.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{number} has more than {decimals} decimals")
    return int(scaled)
