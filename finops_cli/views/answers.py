"""An output line of a run as the views for people read it: the facts, the headline, the tier."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.enums import EscalationLevel, Status, Tier
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.headline import By, FailSummary, Headline
from finops_cli.pipeline.earlier_lines import RULE as PROMISED


class _Components(Struct, frozen=True):
    age_factor: Decimal


class _Triage(Struct, frozen=True):
    score_components: _Components
    priority_score: Decimal
    priority_tier: Tier
    category: str
    action: str
    escalation_level: EscalationLevel
    lifecycle_state: str
    deadline: str | None
    reason: str
    flags: tuple[str, ...] = ()


class _Plan(Struct, frozen=True):
    narrative: str
    residual_short: int | None = None


class _Clock(Struct, frozen=True):
    as_of: str
    settlement_date: str
    deadline_days: int | None
    binding_due: str | None


class _Error(Struct, frozen=True):
    line: int
    message: str


class _Warning(Struct, frozen=True):
    rule: str


class _Origin(Struct, frozen=True):
    assumed: tuple[str, ...] = ()


class _Place(Struct, frozen=True):
    cusip: str
    place: int
    of: int
    uncovered: int
    late: int
    cut: str | None = None


class _Sentiment(Struct, frozen=True):
    label: str
    confidence: Decimal | None = None


class _Tone(Struct, frozen=True):
    sentiment: _Sentiment | None = None


class _Line(Struct, frozen=True):
    """The parts of a line that the views use; every other part is passed over."""

    fail_id: str
    status: Status
    verification: dict[str, object]
    format: int | None = None
    fail: FailSummary | None = None
    headline: Headline | None = None
    triage: _Triage | None = None
    resolution: _Plan | None = None
    clock: _Clock | UnsetType | None = UNSET
    warnings: tuple[_Warning, ...] = ()
    origin: _Origin | None = None
    tone: _Tone | UnsetType | None = UNSET
    error: _Error | None = None
    book: _Place | None = None


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of a list: one fail, and the one thing to do about it.

    A field that the line does not have is null. `days_left` counts settlement days to the deadline,
    negative when it is past.
    """

    fail_id: str
    status: Status
    tier: Tier | None = None
    score: Decimal | None = None
    action: str | None = None
    what_to_do: str | None = None
    due: str | None = None
    """The day, or T+N of the card where no day is known."""
    due_by: str | None = None
    """The rule that the day comes from."""
    days_left: int | None = None
    """Null where nothing is to be done."""
    security: str | None = None
    """The symbol, else the CUSIP."""
    cusip: str | None = None
    symbol: str | None = None
    side: str | None = None
    qty: int | None = None
    """Shares of the fail."""
    counterparty: str | None = None
    counterparty_name: str | None = None
    market_value: Decimal | None = None
    """US dollars."""
    age_days: int | None = None
    """Settlement days."""
    category: str | None = None
    escalation: EscalationLevel | None = None
    flags: tuple[str, ...] = ()
    """The flags of the triage, such as HIGH_VALUE."""
    residual: int | None = None
    """Shares that no step and no fallback of the plan covers; null without a plan."""
    settlement_date: str | None = None
    age_factor: Decimal | None = None
    """The factor of the age; another one is another band (kb: `score.age_factor`)."""
    warnings: int = 0
    """The number of contradictions in the record."""
    promised_before: bool = False
    """True where earlier lines promise shares of the same sources; `finops book` mends it."""
    pool: str | None = None
    """The CUSIP whose sources the fail draws on; only in a plan of the whole book, as the next."""
    place: int | None = None
    """Its place in the queue of the security."""
    of: int | None = None
    """Fails in the queue."""
    uncovered: int | None = None
    """Shares that no source covers."""
    late: int | None = None
    """Shares that are covered after the deadline."""
    cut: str | None = None
    """Why shares stay uncovered."""
    assumed: str | None = None
    """The fields of the record that were assumed."""
    tone: str | None = None
    """The label of the notes with its confidence, where the run read them."""
    error: str | None = None
    """Why the line has no answer."""
    decision: str | None = None
    """The decision of a person about the answer; only in exports of a service."""
    decided_by: str | None = None
    decided_at: str | None = None
    decision_reason: str | None = None
    owner: str | None = None
    comment: str | None = None
    """The last comment."""


class NotALine(Struct, frozen=True):
    """A line that no run of finops wrote."""

    number: int
    reason: str


_DECODER = msgspec.json.Decoder(_Line)


def read_answer(line: bytes, number: int) -> Answer | NotALine:
    """Read line `number` of an output."""
    try:
        given = _DECODER.decode(line)
    except UNREADABLE as error:
        return NotALine(number, str(error))
    fail, triage, headline = given.fail, given.triage, given.headline
    clock = given.clock if isinstance(given.clock, Struct) else None
    facts = {} if fail is None else _facts(fail)
    judged = {} if triage is None else _judgement(triage)
    by = None if headline is None else headline.by
    is_due = headline is None or headline.action != "NO_ACTION"
    return Answer(
        fail_id=given.fail_id,
        status=given.status,
        what_to_do=_sentence(headline, triage, given.resolution),
        due=_due(by, triage) if is_due else None,
        due_by=None if by is None else by.rule,
        days_left=_days_left(clock, fail, triage) if is_due else None,
        settlement_date=None if clock is None else clock.settlement_date,
        warnings=sum(each.rule != PROMISED for each in given.warnings),
        promised_before=any(each.rule == PROMISED for each in given.warnings),
        residual=None if given.resolution is None else given.resolution.residual_short,
        assumed=", ".join(given.origin.assumed) if given.origin and given.origin.assumed else None,
        tone=_write_tone(given.tone),
        error=None if given.error is None else given.error.message,
        **_place(given.book),
        **{**facts, **judged, **({} if headline is None else {"action": headline.action})},
    )


def _place(book: _Place | None) -> dict[str, Any]:
    if book is None:
        return {}
    return {
        "pool": book.cusip,
        "place": book.place,
        "of": book.of,
        "uncovered": book.uncovered,
        "late": book.late,
        "cut": book.cut,
    }


def _write_tone(tone: _Tone | UnsetType | None) -> str | None:
    """Return `negative 0.87`; null where nobody read the notes."""
    if not isinstance(tone, _Tone) or tone.sentiment is None:
        return None
    found = tone.sentiment
    return found.label if found.confidence is None else f"{found.label} {found.confidence:.2f}"


def _facts(fail: FailSummary) -> dict[str, Any]:
    return {
        "security": fail.symbol or fail.cusip,
        "cusip": fail.cusip,
        "symbol": fail.symbol,
        "side": fail.side,
        "qty": fail.qty,
        "counterparty": fail.counterparty,
        "counterparty_name": fail.counterparty_name,
        "market_value": fail.market_value,
        "age_days": fail.age_days,
    }


def _judgement(triage: _Triage) -> dict[str, Any]:
    return {
        "tier": triage.priority_tier,
        "score": triage.priority_score,
        "action": triage.action,
        "category": triage.category,
        "escalation": triage.escalation_level,
        "flags": triage.flags,
        "age_factor": triage.score_components.age_factor,
    }


def _sentence(headline: Headline | None, triage: _Triage | None, plan: _Plan | None) -> str | None:
    """Return the headline, else why the fail is urgent, else the plan in words."""
    if headline is not None:
        return headline.text
    if triage is not None:
        return triage.reason
    return None if plan is None else plan.narrative


def _due(by: By | None, triage: _Triage | None) -> str | None:
    if by is not None:
        return by.date or by.rule
    return None if triage is None else triage.deadline


def _days_left(
    clock: _Clock | None, fail: FailSummary | None, triage: _Triage | None
) -> int | None:
    """Return the days of the law's clock, else those of the card's T+N."""
    if clock is not None and clock.deadline_days is not None:
        return clock.deadline_days
    if triage is None or fail is None or triage.deadline is None:
        return None
    return int(triage.deadline.removeprefix("T+")) - fail.age_days
