"""The rows of the letters that one fail asks for: a table with one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from finops_cli.domain.fail import Ftr
from finops_cli.kb.chapters.wording.letters import LetterKind
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.letters.facts import Duty, LetterInput, PlanStep
from finops_cli.rules.chase import available_qty, rank

Cell = str | int | None
_BUYIN_RULE = "FINRA-11810"
_NOTICE_RULE = "SHO-204(c)"
_OPEN_STATES = ("breached", "due_today", "running")
_RECEIVE_ACTIONS = ("CHASE_FTR", "NET_GRIDLOCK", "OFFSET_FTR")


class LetterRow(Struct, frozen=True, kw_only=True):
    """A row of a letter's table, and why it is there."""

    fail_id: str
    recipient: str
    """DTC participant; empty where the line does not name one."""
    cells: dict[str, Cell]
    """The facts by column; None is not known."""
    why: str
    name: str | None = None
    """The name of the recipient in the record."""
    lot: str | None = None
    """The loan that is recalled, where the plan names it."""


class NoLetter(Struct, frozen=True, kw_only=True):
    """Why a fail gets no letter of a kind that a reader could expect."""

    fail_id: str
    why: str


Rows = Iterator[LetterRow | NoLetter]


def _chase(given: LetterInput, kb: KnowledgeBase) -> Rows:
    """The receives that the plan chases, and our purchases that the seller has not delivered."""
    yield from _step_rows(given, "CHASE_FTR")
    if given.is_sale or given.line.triage is None:
        return
    if given.line.triage.category in ("DK_DISPUTE", "CA_EVENT"):
        return  # they have letters of their own
    if given.line.triage.action == "NO_ACTION":
        yield NoLetter(fail_id=given.line.fail_id, why="nothing is owed any more (OFFSET)")
        return
    yield _row(given, {"age_days": given.fail.age_days}, "our purchase has not settled")


def _net(given: LetterInput, kb: KnowledgeBase) -> Rows:
    yield from _step_rows(given, "NET_GRIDLOCK")


def _step_rows(given: LetterInput, action: str) -> Rows:
    """Yield a row for each step of `action`; one for several receives needs the record."""
    for step in _steps(given):
        if step.action == action and step.dtc is not None:
            yield _receive_row(given, step, step.dtc, step.qty, _receive_of(given, step))
        elif step.action == action:
            yield from _aggregated_rows(given, step)


def _steps(given: LetterInput) -> tuple[PlanStep, ...]:
    return () if given.line.resolution is None else given.line.resolution.resolution_steps


def _aggregated_rows(given: LetterInput, step: PlanStep) -> Rows:
    """Divide an aggregated step over the receives of the record, in the order of their rank."""
    if given.record is None:
        why = (
            f"step {step.step} {step.action} is for receives that the line does not name; give the"
            " records with --fails"
        )
        yield NoLetter(fail_id=given.line.fail_id, why=why)
        return
    left = step.qty
    for ftr in _unnamed_receives(given):
        taken = min(left, available_qty(ftr))
        left -= taken
        if taken:
            yield _receive_row(given, step, ftr.dtc, taken, ftr)


def _unnamed_receives(given: LetterInput) -> list[Ftr]:
    """Return the receives that the plan has in one step together: those after the named ones."""
    named = sum(each.action in _RECEIVE_ACTIONS and each.dtc is not None for each in _steps(given))
    return [] if given.record is None else rank(given.record.ftrs)[named:]


def _receive_row(
    given: LetterInput, step: PlanStep, dtc: str, qty: int, ftr: Ftr | None
) -> LetterRow:
    cells: dict[str, Cell] = {
        "qty": qty,
        "age_days": None if ftr is None else ftr.age_days,
        "settlement_type": step.settlement_type if ftr is None else ftr.settlement_type,
        "expected": step.settlement_date if ftr is None else ftr.settlement_date,
    }
    return _row(given, cells, f"plan, step {step.step} {step.action}", dtc)


def _receive_of(given: LetterInput, step: PlanStep) -> Ftr | None:
    """Return the receive of a step: the only large enough one of its party, type and day."""
    if given.record is None:
        return None
    wanted = (step.dtc, step.settlement_type, step.settlement_date)
    found = [
        ftr
        for ftr in given.record.ftrs
        if (ftr.dtc, ftr.settlement_type, ftr.settlement_date) == wanted and ftr.qty >= step.qty
    ]
    return found[0] if len(found) == 1 else None


def _recall(given: LetterInput, kb: KnowledgeBase) -> Rows:
    recalled = 0 if given.line.resolution is None else given.line.resolution.recalled_qty()
    if not recalled:
        return
    lots = [each for each in given.line.allotment or () if each.kind == "RECALL"]
    if not lots:
        yield _row(given, {"qty": recalled}, "plan, INITIATE_RECALL", "")
    for lot in lots:
        why = "plan of the book, RECALL" + (" beside a borrow" if lot.beside_borrow else "")
        yield _row(given, {"qty": lot.qty}, why, lot.dtc or "", lot.id)


def _buy_in(given: LetterInput, kb: KnowledgeBase) -> Rows:
    """Rights that have begun, the notices of the plan, and purchases that are to be bought in."""
    clock, triage = given.line.clock, given.line.triage
    rights = () if clock is None else clock.rights
    ours = [each for each in rights if each.rule == _BUYIN_RULE and each.holder == "ours"]
    if ours and triage is not None and triage.category == "DK_DISPUTE":
        why = "a notice of buy-in waits until the trade is known (DK_DISPUTE)"
        yield NoLetter(fail_id=given.line.fail_id, why=why)
        return
    for right in ours:
        begun = right.earliest_notice_date
        if clock is None or begun is None or clock.as_of[:10] < begun:
            why = f"a notice of buy-in is possible from {begun} ({_BUYIN_RULE})"
            yield NoLetter(fail_id=given.line.fail_id, why=why)
            continue
        cells: dict[str, Cell] = {
            "notice_by": right.notice_by,
            "execution_date": right.earliest_execution_date,
        }
        cells |= _contract_days(given)
        if len(ours) > 1:  # each right is of one lot, and the line does not name its shares
            cells |= dict.fromkeys(("qty", "trade_date", "settlement_date"))
        yield _row(given, cells, f"clock, {_BUYIN_RULE} from {begun}")
    yield from _planned_notices(given, kb)
    if not given.is_sale and not ours and triage is not None and triage.action == "INITIATE_BUYIN":
        if triage.cns_direction == "N_A":
            yield _row(given, _contract_days(given), "triage, INITIATE_BUYIN")
        else:
            why = "a CNS fail is bought in through NSCC, not under FINRA Rule 11810"
            yield NoLetter(fail_id=given.line.fail_id, why=why)


def _planned_notices(given: LetterInput, kb: KnowledgeBase) -> Rows:
    """Yield a row for each BUY_IN_NOTICE of the plan, with the shares that are chased."""
    chased: dict[str | None, int] = {}
    for step in _steps(given):
        why = f"plan, step {step.step} {step.action}"
        if step.action == "CHASE_FTR":
            chased[step.dtc] = step.qty
        elif step.action == "BUY_IN_NOTICE" and step.dtc is not None:
            yield _row(given, {"qty": chased.get(step.dtc)}, why, step.dtc)
        elif step.action == "BUY_IN_NOTICE":
            for ftr in _unnamed_receives(given):
                if ftr.age_days >= kb.waterfall.b2b_notice_min_days:
                    yield _row(given, {"qty": available_qty(ftr)}, why, ftr.dtc)


def _dk(given: LetterInput, kb: KnowledgeBase) -> Rows:
    if given.line.triage is None or given.line.triage.category != "DK_DISPUTE":
        return
    reason = None if given.record is None else given.record.dk_reason
    yield _row(given, {"reason": reason, **_contract_days(given)}, "triage, DK_DISPUTE")


def _rule_204c(given: LetterInput, kb: KnowledgeBase) -> Rows:
    duties = () if given.line.clock is None else given.line.clock.obligations
    for duty in duties:
        if duty.kind == "notice" and duty.rule.startswith(_NOTICE_RULE) and _is_open(duty):
            cells: dict[str, Cell] = {"due_date": duty.due_date, "rule": duty.rule}
            yield _row(given, cells | _contract_days(given), f"clock, {duty.rule}", "")


def _is_open(duty: Duty) -> bool:
    return duty.state in _OPEN_STATES


def _corporate_action(given: LetterInput, kb: KnowledgeBase) -> Rows:
    if given.line.triage is None or given.line.triage.category != "CA_EVENT":
        return
    cells = {"proposal": _proposal(given, kb), **_contract_days(given)}
    yield _row(given, cells, "triage, CA_EVENT")


def _proposal(given: LetterInput, kb: KnowledgeBase) -> str | None:
    """Return what is claimed or proposed; None where line and record do not tell."""
    if not given.is_sale:
        return kb.letters.proposals["claim"]
    plan = given.line.resolution
    if plan is not None and any(each.action == "SPO_SETTLEMENT" for each in plan.resolution_steps):
        return kb.letters.proposals["cash"]
    if isinstance(given.fail.new_cusip, str):
        return kb.letters.proposals["replaced"].format(new=given.fail.new_cusip)
    event = None if given.record is None else given.record.corporate_action
    if event is not None and event.pre_event_deliverable:
        return kb.letters.proposals["before"]
    return None


def _contract_days(given: LetterInput) -> dict[str, Cell]:
    """Return trade and settlement date where they are known, and not where they are assumed."""
    clock = given.line.clock
    facts = None if given.record is None else given.record.clock_facts
    assumed = () if clock is None else clock.assumptions
    days: dict[str, Cell] = {}
    for name in ("trade_date", "settlement_date"):
        day = None if facts is None else getattr(facts, name)
        is_assumed = any(each.startswith(name) for each in assumed)
        days[name] = day if day or clock is None or is_assumed else getattr(clock, name)
    return days


def _row(
    given: LetterInput,
    cells: Mapping[str, Cell],
    why: str,
    recipient: str | None = None,
    lot: str | None = None,
) -> LetterRow:
    """Make a row of the facts of the fail and `cells`. The recipient is its counterparty."""
    fail = given.fail
    facts: dict[str, Cell] = {
        "fail_id": given.line.fail_id,
        "cusip": fail.cusip,
        "symbol": fail.symbol,
        "side": "sold" if given.is_sale else "bought",
        "qty": fail.qty,
    }
    is_own = recipient is None
    return LetterRow(
        fail_id=given.line.fail_id,
        recipient=fail.counterparty if recipient is None else recipient,
        cells=facts | dict(cells),
        why=why,
        name=fail.counterparty_name if is_own else None,
        lot=lot,
    )


KINDS: Mapping[LetterKind, Callable[[LetterInput, KnowledgeBase], Rows]] = {
    "chaser": _chase,
    "net_settlement": _net,
    "recall": _recall,
    "buy_in": _buy_in,
    "dk": _dk,
    "rule_204c": _rule_204c,
    "corporate_action": _corporate_action,
}
"""The function that gives the rows of each kind."""
