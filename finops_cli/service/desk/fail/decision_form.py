"""The forms that decide about a fail: what a person typed, and the decision that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast, get_args

import msgspec
from msgspec import Struct

from finops_cli.domain.enums import Action, SettlementType, StepAction, Tier
from finops_cli.rules.ledger import Ledger
from finops_cli.service.desk.forms import Form
from finops_cli.service.fails.deciding import DecisionRequest
from finops_cli.service.problems import wrong_value
from finops_cli.service.store.decisions import KINDS, Kind
from finops_cli.views.fail_page.line import PlanAnswer, PlanStep

MOST_STEPS = 60
"""Steps of a plan that a form can change."""
_FREE_ROWS = 2
"""Empty rows below the steps, for further ones."""
STEP_FIELDS = ("action", "dtc", "qty", "settlement_type", "settlement_date", "rationale")
_QTY = STEP_FIELDS.index("qty")
_MOST_DIGITS = 13


class StepRow(Struct, frozen=True, kw_only=True):
    """A row of the steps as it was typed; a row without an action does not count."""

    action: str = ""
    dtc: str = ""
    qty: str = ""
    settlement_type: str = ""
    settlement_date: str = ""
    rationale: str = ""


class TypedForm(Struct, frozen=True, kw_only=True):
    """The input of a person, which is shown again with its faults."""

    kind: Kind
    version: int | None = None
    """The version of the fail that the person looked at."""
    tier: str = ""
    action: str = ""
    reason: str = ""
    comment: str = ""
    assignee: str = ""
    of: int | None = None
    steps: tuple[StepRow, ...] = ()
    acknowledge: tuple[str, ...] = ()
    """The rules that are ticked."""


def read_typed_form(form: Form) -> TypedForm:
    """Read a form. Raises ServiceError 422 for a form that no page of the desk has."""
    kind = form.text("kind")
    if kind not in KINDS:
        raise wrong_value("kind", kind[:80] or "missing", ", ".join(KINDS))
    return TypedForm(
        kind=kind,
        version=form.whole("version"),
        tier=form.text("tier"),
        action=form.text("action"),
        reason=form.text("reason"),
        comment=form.text("comment"),
        assignee=form.text("assignee"),
        of=form.whole("of"),
        steps=tuple(_read_steps(form)),
        acknowledge=tuple(form.texts("acknowledge")),
    )


def _read_steps(form: Form) -> Iterator[StepRow]:
    for place in range(MOST_STEPS + _FREE_ROWS):
        if not form.texts(f"step.{place}.action"):
            return
        yield StepRow(**{name: form.text(f"step.{place}.{name}") for name in STEP_FIELDS})


def list_step_rows(plan: PlanAnswer) -> tuple[StepRow, ...]:
    """Return the steps of a plan as rows of a form, and some empty ones.

    Empty where the plan has more steps than a form can hold.
    """
    if len(plan.resolution_steps) > MOST_STEPS:
        return ()
    rows = [_show_step(each) for each in plan.resolution_steps]
    return (*rows, *[StepRow()] * _FREE_ROWS)


def _show_step(step: PlanStep) -> StepRow:
    return StepRow(
        action=step.action,
        dtc=step.dtc or "",
        qty=str(step.qty),
        settlement_type=step.settlement_type or "",
        settlement_date=step.settlement_date or "",
        rationale=step.rationale,
    )


def ask_decision(typed: TypedForm, plan: PlanAnswer | None, ledger: Ledger) -> DecisionRequest:
    """Return the decision that a form asks for. Raises ServiceError 422, which names the field.

    The coverage after each step follows from the shares, as in the plan of the engine: `ledger` is
    an empty account of what the fail owes.
    """
    is_override = typed.kind == "override"
    steps = None
    if is_override and plan is not None and has_other_steps(typed.steps, plan):
        steps = _make_steps(typed.steps, ledger)
    return DecisionRequest(
        kind=typed.kind,
        reason=typed.reason or None,
        comment=typed.comment or None,
        assignee=typed.assignee or None if typed.kind == "assign" else None,
        tier=_read_word("tier", typed.tier, Tier) if is_override else None,
        action=_read_word("action", typed.action, Action) if is_override else None,
        steps=steps,
        acknowledge=list(typed.acknowledge),
        of=typed.of,
        expected_version=typed.version,
    )


def has_other_steps(rows: tuple[StepRow, ...], plan: PlanAnswer) -> bool:
    """Return true if a person changed the steps; a form without rows cannot change them."""
    shown = [_normalise(each) for each in list_step_rows(plan) if each.action]
    return bool(rows) and [_normalise(each) for each in rows if each.action] != shown


def _normalise(row: StepRow) -> tuple[str, ...]:
    """Return a row as a browser sends it back: without line breaks, numbers without commas."""
    texts = [" ".join(getattr(row, name).split()) for name in STEP_FIELDS]
    texts[_QTY] = _digits(texts[_QTY])
    return tuple(texts)


def _digits(text: str) -> str:
    """Return a number without what people put between its digits; nothing is 0."""
    return text.replace(",", "").replace(" ", "") or "0"


def _make_steps(rows: tuple[StepRow, ...], ledger: Ledger) -> list[dict[str, Any]]:
    for place, row in enumerate(rows, start=1):
        if not row.action:
            continue
        ledger.take(
            cast("StepAction", _read_word(f"the action of step {place}", row.action, StepAction)),
            _read_shares(place, row.qty),
            row.rationale,
            row.dtc or None,
            _read_word(f"the type of step {place}", row.settlement_type, SettlementType),
            row.settlement_date or None,
        )
    return [_as_json(msgspec.to_builtins(step)) for step in ledger.steps]


def _as_json(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step with its percentage as a number, as a program sends it."""
    return step | {"coverage_after_step_pct": float(step["coverage_after_step_pct"])}


def _read_shares(place: int, text: str) -> int:
    digits = _digits(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise wrong_value(f"the shares of step {place}", text[:80], "a whole number, such as 8,000")
    return int(digits)


def _read_word(name: str, text: str, words: Any) -> Any:
    """Return a word of a list; None for an empty field. Raises ServiceError 422."""
    if not text:
        return None
    if text not in get_args(words):
        raise wrong_value(name, text[:80], ", ".join(get_args(words)))
    return text
