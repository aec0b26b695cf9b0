"""Which fails of a security draw on which sources, before anything is planned (book, 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from finops_cli.book.allocation.pool import BookPool, queue_fails
from finops_cli.book.index import CASH, DRAWS, OTHER, BookIndex, IndexedFail, OwnInventory
from finops_cli.book.sent import FirmPart, SentPart, SentShares, split_firm
from finops_cli.book.sources import (
    Difference,
    PoolFacts,
    find_differences,
    read_lines,
    read_record,
    refuse_difference,
    snapshot_key,
)
from finops_cli.domain.fail import Ftr, Inventory
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.files.jsonl import FilePlace
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.book_parts import NO_POOL, PlannedFail
from finops_cli.rules.gridlock import Gridlock, assess_receives
from finops_cli.verify.schemas import unusable

_NOTHING = Inventory(box_qty=0, stock_loan_available=0, recall_outstanding=0, pending_receives=0)


class Sources(Protocol):
    """The inventory file of a book."""

    def find_lines(self, cusip: str) -> list[InventoryLine] | Problem:
        """Return the lines of a security, or the problem that puts it in doubt."""

    def list_cusips(self) -> Iterator[str]:
        """Yield each security that has a line."""


class FailIndex(Protocol):
    """The fails by security, and the parts of those that get theirs without a plan."""

    def read_fails(self, cusip: str) -> list[IndexedFail]:
        """Return the fails of a security, in the order of their lines."""

    def read_snapshot(self, cusip: str, name: bytes) -> OwnInventory:
        """Return an inventory that a record carries."""

    def put_parts(self, parts: Sequence[tuple[int, PlannedFail, int | None]]) -> None:
        """Keep the parts of lines, each with the number of its verdict on the gridlock."""

    def put_verdict(self, verdict: Gridlock) -> int:
        """Keep a verdict on a gridlock; returns its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleInput:
    """Everything that decides which fails draw on which sources."""

    kb: KnowledgeBase
    index: FailIndex
    inventory: Sources | None = None
    """None: the inventories that the records carry are the pools."""
    inventory_name: str = ""
    locate: Callable[[int], FilePlace] | None = None
    """Finds the file of a line and its number there, in an input of several files."""
    prefers_file: bool = False
    """A record whose own inventory differs takes the file's."""
    sent: SentShares | None = None
    needs_price: bool = False
    """A security with a lender needs a price, because a budget limits the borrows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookInput(SettleInput):
    """Everything that the plan of a book is made of."""

    index: BookIndex


class Settled(NamedTuple):
    """One security before its plan."""

    pool: BookPool
    """The problem as it is, firm parts included."""
    free: BookPool
    """The problem without its firm parts. It has the same places."""
    facts: PoolFacts
    drawing: dict[str, IndexedFail]
    """By `fail_id`."""
    sent: dict[str, list[SentPart]]
    """The parts that were sent, by `fail_id`; a fail that was not planned before is absent."""
    has_sent: bool
    """True where an earlier plan is given, whatever its fails."""
    firm: list[FirmPart]
    findings: dict[str, list[Finding]]
    """By `fail_id`."""

    @property
    def has_firm_fault(self) -> bool:
        """Return true where a firm part of the earlier plan is not firm in this one."""
        return any(
            each.rule.startswith("book.firm_") for found in self.findings.values() for each in found
        )


@dataclass(slots=True)
class _Outcome:
    """The fails of a security that have their part already, and those that draw."""

    parts: list[tuple[int, PlannedFail, int | None]] = field(default_factory=list)
    drawing: list[IndexedFail] = field(default_factory=list)
    findings: dict[str, list[Finding]] = field(default_factory=dict)

    def reject(self, fails: Sequence[IndexedFail], *problems: Problem) -> None:
        """Give fails a part that rejects them."""
        part = PlannedFail(problems=problems)
        self.parts += [(each.fail.line, part, None) for each in fails]

    def skip(self, fails: Sequence[IndexedFail], reason: str) -> None:
        """Give fails a part without a plan."""
        part = PlannedFail(skipped=reason)
        self.parts += [(each.fail.line, part, None) for each in fails]


def settle(
    cusip: str, given: SettleInput, fails: Sequence[IndexedFail] | None = None
) -> Settled | None:
    """Find the sources and the drawing fails of a security; None where nothing draws.

    The parts of all other fails are put into the index. `fails` None: read them from there.
    """
    fails = given.index.read_fails(cusip) if fails is None else fails
    outcome = _Outcome()
    facts = (
        _settle_by_records(cusip, fails, given, outcome)
        if given.inventory is None
        else _settle_by_file(cusip, fails, given, outcome, given.inventory)
    )
    if len(outcome.drawing) < len(fails):
        settled = {line for line, _, _ in outcome.parts}
        others = [each for each in fails if each.role == OTHER and each.fail.line not in settled]
        outcome.parts += [(each.fail.line, PlannedFail(), None) for each in others]
        given.index.put_parts(outcome.parts)
    if facts is None or not outcome.drawing:
        return None
    queue = queue_fails(each.fail for each in outcome.drawing)
    pool = BookPool(cusip, queue, facts.sources, receives_late=given.kb.book.receives_late)
    sent = _read_sent(outcome.drawing, given.sent)
    split = split_firm(pool, sent)
    for place, found in split.findings.items():
        outcome.findings.setdefault(pool.fails[place].fail_id, []).extend(found)
    drawing = {each.fail.fail_id: each for each in outcome.drawing}
    has_sent = given.sent is not None
    return Settled(pool, split.pool, facts, drawing, sent, has_sent, split.parts, outcome.findings)


def judge_gridlock(related: Sequence[str], ftrs: Sequence[Ftr], kb: KnowledgeBase) -> Gridlock:
    """Judge the gridlock of a security with the brokers of a fail's related fails."""
    return assess_receives(ftrs, related, kb.waterfall)


def _settle_by_file(
    cusip: str,
    fails: Sequence[IndexedFail],
    given: SettleInput,
    outcome: _Outcome,
    inventory: Sources,
) -> PoolFacts | None:
    lines = inventory.find_lines(cusip)
    if isinstance(lines, Problem):
        outcome.reject(fails, lines)
        return None
    facts = read_lines(lines, given.kb)
    lends = facts is not None and any(each.kind == "BORROW" for each in facts.sources)
    if given.needs_price and facts is not None and lends and facts.price is None:
        outcome.reject(fails, _lacks_price(cusip, given.inventory_name))
        return None
    drawing = [each for each in fails if each.role == DRAWS]
    if facts is None and any(each.snapshot is not None for each in drawing):
        facts = PoolFacts(())  # the file has nothing of it, and a record states what it has
    if facts is None:
        outcome.skip([each for each in fails if each.role in (CASH, DRAWS)], NO_POOL)
        return None
    outcome.drawing = _compare(cusip, drawing, facts, given, outcome)
    _put_cash(cusip, fails, facts, given, outcome)
    return facts


def _settle_by_records(
    cusip: str, fails: Sequence[IndexedFail], given: SettleInput, outcome: _Outcome
) -> PoolFacts | None:
    """Take the inventories that the drawing records carry as the pool, once."""
    drawing = [each for each in fails if each.role == DRAWS]
    own = _read_own(cusip, drawing, given)
    if len(own) > 1:
        drawing = _join_equal(drawing, own)
    used = {each.snapshot for each in drawing}
    carried = {n: held for n, held in own.items() if held.inventory is not None and n in used}
    names = list(carried)
    facts = None
    if len(names) == 1:
        held = carried[names[0]]
        facts = read_record(held.inventory or _NOTHING, held.ftrs, given.kb)
        outcome.drawing = drawing
    elif names:
        carrying = [each for each in drawing if each.snapshot in carried]
        for name in names:
            problem = _refuse_unequal(cusip, name, carried, carrying, given)
            outcome.reject([each for each in carrying if each.snapshot == name], problem)
        outcome.skip([each for each in drawing if each.snapshot not in carried], NO_POOL)
    else:
        outcome.skip(drawing, NO_POOL)
    _put_cash(cusip, fails, facts, given, outcome)
    return facts


def _read_own(
    cusip: str, fails: Sequence[IndexedFail], given: SettleInput
) -> dict[bytes, OwnInventory]:
    """Read the different inventories that fails carry, in the order of their lines."""
    names = dict.fromkeys(each.snapshot for each in fails if each.snapshot is not None)
    return {name: given.index.read_snapshot(cusip, name) for name in names}


def _join_equal(
    fails: Sequence[IndexedFail], own: Mapping[bytes, OwnInventory]
) -> list[IndexedFail]:
    """Name equal inventories of fails by the first of them."""
    first: dict[tuple[Any, ...], bytes] = {}
    names = {
        name: name if held.inventory is None else first.setdefault(snapshot_key(held), name)
        for name, held in own.items()
    }
    return [
        each if each.snapshot is None else each._replace(snapshot=names[each.snapshot])
        for each in fails
    ]


def _compare(
    cusip: str,
    drawing: Sequence[IndexedFail],
    facts: PoolFacts,
    given: SettleInput,
    outcome: _Outcome,
) -> list[IndexedFail]:
    """Reject the fails whose own inventory is not the pool's; returns the others."""
    own = _read_own(cusip, drawing, given)
    differences = {
        name: find_differences(held.inventory, held.ftrs, facts) for name, held in own.items()
    }
    kept = []
    for each in drawing:
        found = differences.get(each.snapshot or b"", [])
        if found and not given.prefers_file:
            problems = [refuse_difference(one, cusip, given.inventory_name) for one in found]
            outcome.reject([each], *problems)
            continue
        if found:
            outcome.findings[each.fail.fail_id] = [_note(one) for one in found]
        kept.append(each)
    return kept


def _refuse_unequal(
    cusip: str,
    name: bytes,
    carried: dict[bytes, OwnInventory],
    carrying: Sequence[IndexedFail],
    given: SettleInput,
) -> Problem:
    """Say how the inventory `name` differs from another one, and on which lines they are."""
    other = next(each for each in carried if each != name)
    pool = read_record(carried[other].inventory or _NOTHING, carried[other].ftrs, given.kb)
    own = carried[name]
    found = find_differences(own.inventory, own.ftrs, pool)
    shown = found[0] if found else Difference("ftrs", "receives", "other receives")
    mine, theirs = (
        _name_line(next(each.fail.line for each in carrying if each.snapshot == each_name), given)
        for each_name in (name, other)
    )
    accepted = (
        f"one inventory in all records of {cusip}: {mine} has {shown.own}, {theirs} has"
        f" {shown.pool}; correct one, or give --inventory FILE"
    )
    return unusable("book.snapshot_conflict", shown.field, shown.own, accepted)


def _name_line(number: int, given: SettleInput) -> str:
    if given.locate is None:
        return f"line {number}"
    place = given.locate(number)
    return f"{place.file} line {place.line}"


def _put_cash(
    cusip: str,
    fails: Sequence[IndexedFail],
    facts: PoolFacts | None,
    given: SettleInput,
    outcome: _Outcome,
) -> None:
    """Give the fails that settle in cash a part that draws nothing."""
    cash = [each for each in fails if each.role == CASH]
    if not cash:
        return
    ftrs = None if facts is None else facts.ftrs
    for each in cash:
        held = None if each.snapshot is None else given.index.read_snapshot(cusip, each.snapshot)
        receives = held.ftrs if held is not None and held.inventory is not None else ftrs
        if receives is None:
            outcome.skip([each], NO_POOL)
            continue
        verdict = given.index.put_verdict(judge_gridlock(each.related, receives, given.kb))
        outcome.parts.append((each.fail.line, PlannedFail(inventory=_NOTHING), verdict))


def _read_sent(
    drawing: Sequence[IndexedFail], sent: SentShares | None
) -> dict[str, list[SentPart]]:
    if sent is None:
        return {}
    found = {}
    for each in drawing:
        parts = sent.find(each)
        if parts is not None:
            found[each.fail.fail_id] = parts
    return found


def _note(difference: Difference) -> Finding:
    return Finding(
        rule="book.snapshot_conflict",
        path=f"/{difference.field.replace('.', '/')}",
        expected=difference.pool,
        actual=difference.own,
        message=(
            f"{difference.field} is {difference.own}; the plan takes {difference.pool}, as the"
            " inventory file has it"
        ),
    )


def _lacks_price(cusip: str, name: str) -> Problem:
    accepted = f"a PRICE line for {cusip}, which has a lender, in {name}: the budget needs it"
    return unusable("book.inventory_in_doubt", "inventory", "no PRICE line", accepted)
