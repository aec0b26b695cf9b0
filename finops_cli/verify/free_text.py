"""Check the numbers in free text.

Each must come from the input, or from values that the rules derive from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate
from typing import Any

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord, Ftr, RelatedFail
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.bands import BandTable
from finops_cli.kb.chapters.scoring import quantities
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import age_days, parse_t_plus
from finops_cli.verify.quoted_numbers import (
    Known,
    QuotedNumber,
    is_supported,
    known_numbers,
    read_numbers,
    unsupported_numbers,
)

_RECEIPTS = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")


def check_reason(
    answer: Triage, reference: Triage, fail: FailRecord, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Find numbers of a reason that come neither from the record nor from its triage.

    Bands, the sum and the product of the score, the percentages by which its modifiers change it,
    the shares that the inventory covers, and the deadline are also allowed. Numbers in `notes`,
    `dk_reason` and `origin` do not count, because no rule reads these fields.
    """
    accepted = kb.phrases
    if not unsupported_numbers(
        answer.reason, known_numbers(reference.reason), accepted, fail.fail_id
    ):
        return
    c = reference.score_components
    weights = [factor.weight for factor in kb.scoring.factors]
    points = [getattr(c, field) * factor.weight for field, factor in kb.scoring.factors_by_field]
    stocked = c.base_score * c.inventory_modifier
    products = [*points, stocked, stocked * c.concentration_modifier]
    changes = [100 * (each - 1) for each in (c.inventory_modifier, c.concentration_modifier)]
    covered = fail.qty * fail.inventory_coverage_pct / 100
    shares = [covered, fail.qty - covered]
    read = replace(fail, notes=None, dk_reason=None, origin=None)
    days, edges = _days(reference.deadline, fail.age_days), _bands(fail, reference, kb)
    bearing = known_numbers(
        read, reference, weights, products, changes, shares, kb.scoring.cap, *edges, days=days
    )
    unknown = unsupported_numbers(answer.reason, bearing, accepted, fail.fail_id)
    yield from _report(unknown, "triage.reason_figures", "/reason", reference.reason, answer.reason)


def check_prose(
    answer: Resolution, reference: Resolution, case: ResolverInput, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Find numbers of a plan's texts that come neither from the input nor from the plan.

    Counts, sums and the deadline are also allowed. In a step with a counterparty, numbers of other
    counterparties count only if the text names them.
    """
    wanted = {path: text for path, text, _ in _texts(reference)}
    unlike = [said for said in _texts(answer) if said[1] != wanted.get(said[0])]
    if not unlike:
        return
    accepted = kb.phrases
    of_a_step, of_counterparties = (
        _of_a_step(reference, case, kb),
        _of_counterparties(reference, case),
    )
    of_the_plan = of_a_step | _of_the_plan(reference, case, kb)
    for path, text, dtc in unlike:
        unknown = unsupported_numbers(
            text, of_the_plan if dtc is None else of_a_step, accepted, case.fail_id
        )
        if unknown and dtc is not None:
            named = {
                dtc,
                *(
                    f"DTC-{figure.value}"
                    for figure in read_numbers(text)
                    if isinstance(figure.value, str)
                ),
            }
            theirs = [of_counterparties[name] for name in named if name in of_counterparties]
            unknown = [
                figure for figure in unknown if not any(is_supported(figure, one) for one in theirs)
            ]
        yield from _report(unknown, "plan.prose_figures", path, wanted.get(path), text)


def _bands(fail: FailRecord, reference: Triage, kb: KnowledgeBase) -> Iterator[Decimal]:
    """Yield the edges of the bands that the record falls in: "below 25%", "7-9 days"."""
    s = kb.scoring
    placed: tuple[tuple[BandTable[Any], Decimal | int], ...] = (
        *((banded.table, banded.number) for banded in quantities(fail, s)),
        (s.inventory_modifier, fail.inventory_coverage_pct),
        (s.tier, reference.priority_score),
    )
    for table, value in placed:
        band = table.index(value)
        edges = [table.upper_edge(i) for i in (band - 1, band) if i >= 0]
        yield from (edge[0] for edge in edges if edge is not None)
    below = s.age_factor.index(fail.age_days) - 1
    if below >= 0 and (edge := s.age_factor.upper_edge(below)) is not None:
        yield edge[0] + 1  # the first day of the band


def _report(
    unknown: list[QuotedNumber], rule: str, path: str, expected: str | None, actual: str
) -> Iterator[Finding]:
    if unknown:
        texts = dict.fromkeys(figure.text[: limits.SHOWN_CHARS] for figure in unknown)
        named = ", ".join(list(texts)[: limits.PROBLEMS])
        message = f"{path[1:]} mentions {named}, which is neither in the input nor derived from it"
        yield Finding(rule=rule, path=path, expected=expected, actual=actual, message=message)


def _texts(plan: Resolution) -> Iterator[tuple[str, str, str | None]]:
    for i, step in enumerate(plan.resolution_steps):
        yield f"/resolution_steps/{i}/rationale", step.rationale, step.dtc
    yield "/narrative", plan.narrative, None
    yield "/escalation_reason", plan.escalation_reason, None


def _of_a_step(plan: Resolution, case: ResolverInput, kb: KnowledgeBase) -> Known:
    """Collect the numbers that the rationale of any step may use: shares, stock, deadline and
    score.
    """
    owed, deadline, steps = case.ftd_qty, case.triage.deadline, plan.resolution_steps
    return known_numbers(
        (
            owed,
            case.cusip,
            case.inventory,
            case.triage.priority_score,
            [step.qty for step in steps],
        ),
        days=_days(deadline, age_days(case, kb.scoring)),
        left=(plan.residual_short, *(step.remaining_short for step in steps)),
        shares=(
            plan.fallback_qty,
            plan.secondary_fallback_qty,
            plan.total_coverable,
            *(owed - step.remaining_short for step in steps),
        ),
        percent=[step.coverage_after_step_pct for step in steps],
    )


def _of_the_plan(plan: Resolution, case: ResolverInput, kb: KnowledgeBase) -> Known:
    """Collect the further numbers that other texts may use.

    These are all numbers of input and plan, their counts and sums, and the notice of a recall.
    """
    steps, parties, brokers = (
        plan.resolution_steps,
        plan.gridlock_parties,
        {ftr.dtc for ftr in case.ftrs},
    )
    listed = (
        steps,
        parties,
        case.ftrs,
        case.related_fails,
        brokers,
        brokers | {fail.dtc for fail in case.related_fails},
    )
    receipts = [step.qty for step in reversed(steps) if step.action in _RECEIPTS]
    applied = sum(step.qty for step in steps if step.action == "APPLY_BOX")
    return known_numbers(
        (case, parties, plan.additional_ftrs_chased),
        [text for _, text, _ in _texts(plan)],
        (
            *map(len, listed),
            *Counter(step.action for step in steps).values(),
            sum(ftr.qty for ftr in case.ftrs),
            max(0, case.inventory.box_qty - applied),
            plan.residual_short + plan.secondary_fallback_qty,
        ),
        (
            *accumulate(receipts),
            *range(max(len(receipts), len(parties))),
        ),  # "3 more receipts for 8,000 shares"
        days=(kb.waterfall.recall_notice_days,),
        percent=[
            Decimal(100 * shares) / case.ftd_qty
            for shares in (plan.total_coverable, plan.residual_short)
        ],
    )


def _of_counterparties(plan: Resolution, case: ResolverInput) -> dict[str, Known]:
    """Collect the numbers of each counterparty's fails, and of the plan's texts about it."""
    said: defaultdict[str, list[object]] = defaultdict(list)
    fails: tuple[Ftr | RelatedFail, ...] = (*case.ftrs, *case.related_fails)
    for fail in fails:
        said[fail.dtc].append(fail)
    for step in plan.resolution_steps:
        said[step.dtc or ""].append(step.rationale)
    return {dtc: known_numbers(objects) for dtc, objects in said.items()}


def _days(deadline: str | None, age: int) -> tuple[int, ...]:
    """Return the age, the day of the deadline, and the days left."""
    return (age,) if deadline is None else (age, day := parse_t_plus(deadline), day - age)
